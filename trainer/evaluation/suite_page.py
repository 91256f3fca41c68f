"""The results of the test suite in an evaluation's report, in both languages."""

from __future__ import annotations

from typing import Any

from trainer.evaluation.page import both, paragraph, table

#: measure -> English, Japanese; distances are numbers, all others shares
NAMES = {
    "concept_top1": ("thing nearest, held-out template", "ものが最も近い（未学習の言い回し）"),
    "concept_top5": ("thing among the nearest five", "ものが近い5つに入る"),
    "unseen_top1": ("thing in a style never shown: nearest", "未学習の画風のもの: 最も近い"),
    "unseen_top5": ("thing in a style never shown: nearest five", "未学習の画風のもの: 近い5つに入る"),
    "unseen_style": ("style, never shown of the thing", "画風（そのものでは未学習）"),
    "style": ("style", "画風"),
    "background": ("background colour", "背景の色"),
    "relation": ("arrangement of a pair never shown", "未学習の組の並び"),
    "count": ("number never shown of the thing", "未学習の個数"),
    "colour": ("colour never shown of the thing", "未学習のものの色"),
    "unseen_distance": ("distance to the true held-out picture ↓", "未学習の正解画像との距離 ↓"),
    "unseen_kid": ("KID to true held-out pictures ↓", "未学習の正解画像とのKID ↓"),
    "unseen_copies": ("copies of training pictures, style never shown ↓", "学習画像の写し（未学習の画風） ↓"),
    "copies": ("copies of training pictures, seen things", "学習画像の写し（学習済みのもの）"),
}
_NUMBERS = ("unseen_distance", "unseen_kid")


def text_of(measure: str, value: float) -> str:
    """A share in per cent, or a distance as a number."""
    return f"{value:.3f}" if measure in _NUMBERS else f"{value:.1%}"


def suite_table(suite: dict[str, Any], languages: dict[str, tuple[str, str]]) -> str:
    """HTML of ``result["suite"]``."""
    rows = suite["figures"]
    langs = [x for x in languages if any(r["lang"] == x for r in rows)]
    lines: dict[str, dict[str, str]] = {}
    for r in rows:
        low, high = (text_of(r["measure"], r[k]) for k in ("low", "high"))
        lines.setdefault(r["measure"], {})[r["lang"]] = (
            f"{text_of(r['measure'], r['value'])} <small>({low} – {high}), n {r['n']}</small>"
        )
        if "ceiling" in r:
            lines[r["measure"]]["ceiling"] = f"{r['ceiling']:.1%}"
    head = ["", *(both(*languages[x]) for x in langs), both("judge on true pictures", "正解画像での判定")]
    body = [
        [both(*NAMES[m]), *(cells.get(x, "–") for x in langs), cells.get("ceiling", "–")] for m, cells in lines.items()
    ]
    return (
        f"<h2>{both('Held out from training', '学習に使っていない問い')}</h2>"
        + table(head, body)
        + paragraph(
            "Arrangement and number are one of four by chance, a colour one of six. A copy lies as near to a picture that training showed as the "
            "autoencoder alone would bring it.",
            "並びと個数は当てずっぽうでも4つに1つ、色は6つに1つ当たります。写しとは、学習に使った画像に、オートエンコーダーだけを通したときと同じくらい近いものです。",
            "weak",
        )
    )
