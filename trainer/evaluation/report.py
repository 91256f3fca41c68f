"""``report.html`` of an evaluation: the two-language table, plots, the comparison, a contact sheet and the recipe."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.contract.errors import BadFile
from engine.imagefile.image import read_pixels
from trainer.evaluation.page import both, embedded_image, paragraph, svg, table, write
from trainer.evaluation.suite_page import suite_table
from trainer.evaluation.table import MEASURES
from trainer.plot_style import plot_style

SHOWN = 60  # pictures of each language on the page
NAMES = {
    "top1": ("named concept nearest", "名指したものが最も近い"),
    "top5": ("named concept among the nearest five", "名指したものが近い5つに入る"),
    "clipscore": ("CLIPScore", "CLIPScore"),
    "cosine": ("cosine of picture and text", "画像と文の余弦"),
    "kid": ("KID", "KID"),
    "cmmd": ("CMMD", "CMMD"),
    "fid": ("FID", "FID"),
}
LANGUAGES = {"ja": ("Japanese", "日本語"), "en": ("English", "英語"), "both": ("both", "両方")}
_COLOURS = {"ja": "#d1495b", "en": "#1f6fb2", "both": "#5b8c5a"}


def figure_text(measure: str, value: float) -> str:
    """Shares in per cent, other values with their significant digits."""
    return f"{value:.1%}" if measure in ("top1", "top5") else f"{value:.5f}" if measure == "kid" else f"{value:.3f}"


def write_report(path: Path, result: dict[str, Any], folder: Path) -> Path:
    """Write the report to ``path``; images are in ``folder``. Raises DiskFull, OutputFolder."""
    name = result["model"]["name"] + "".join(f" + {x['name']}:{x['scale']:g}" for x in result["model"]["loras"])
    body = [_figures(result["table"])]
    if result.get("suite"):
        body.append(suite_table(result["suite"], LANGUAGES))
    refused = {row["measure"].upper() for row in result["table"] if "refused" in row}
    if refused:
        body.append(
            paragraph(
                f"Not given, for lack of pictures: {', '.join(sorted(refused))}.",
                f"画像の数が足りないため出していない値: {', '.join(sorted(refused))}。",
                "weak",
            )
        )
    if any(e["name"] == "built-in" for e in result["encoders"]):
        body.append(
            paragraph(
                "Distances use the built-in features: coarse colours and edges. They detect changes of style and colour, but no meaning.",
                "距離は内蔵の特徴（粗い色と輪郭）によるもので、画風や色の違いは見えても、意味は分かりません。",
                "weak",
            )
        )
    body.append(
        paragraph(
            "Intervals are 95 % bootstrap intervals. Only figures of the same recipe, encoder and resizing can be compared.",
            "括弧内は95%ブートストラップ信頼区間です。比べられるのは、条件・エンコーダー・縮小方法が同じ値だけです。",
            "weak",
        )
    )
    with plot_style():
        plots = _plots(result)
    if plots:
        body += [f"<h2>{both('Plots', '図')}</h2>", plots]
    if result.get("against"):
        body.append(_comparison(result, name))
    body += [_sheet(result, folder), _recipe(result)]
    write(path, (f"Evaluation of {name}", f"{name} の評価"), body)
    return path


def _value(row: dict[str, Any]) -> str:
    if "refused" in row:
        return "–"
    value, low, high = (figure_text(row["measure"], row[k]) for k in ("value", "low", "high"))
    count = f"{row['n']} / {row['reference']}" if "reference" in row else str(row["n"])
    return f"{value} <small>({low} – {high}), n {count}</small>"


def _figures(rows: Sequence[dict[str, Any]]) -> str:
    langs = [x for x in LANGUAGES if any(r["lang"] == x for r in rows)]
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for r in rows:
        lines.setdefault((r["measure"], r.get("encoder", "")), {})[r["lang"]] = _value(r)
    head = ["", both("encoder", "エンコーダー"), *(both(*LANGUAGES[x]) for x in langs)]
    return table(
        head,
        [
            [f"{both(*NAMES[m])} {'↑' if MEASURES[m] else '↓'}", html.escape(e), *(cells.get(x, "–") for x in langs)]
            for (m, e), cells in lines.items()
        ],
    )


def _plots(result: dict[str, Any]) -> str:
    """Bars with intervals for every measure, and histograms of CLIPScores."""
    from matplotlib.figure import Figure

    rows = [r for r in result["table"] if "refused" not in r and r["measure"] != "cosine"]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for r in rows:
        groups.setdefault((r["measure"], r.get("encoder", "")), []).append(r)
    if not groups:
        return ""
    columns = min(4, len(groups))
    figure = Figure(figsize=(2.9 * columns, 2.7 * -(-len(groups) // columns)), layout="constrained")
    for axes, ((measure, encoder), some) in zip(
        np.ravel(figure.subplots(-(-len(groups) // columns), columns, squeeze=False)), groups.items(), strict=False
    ):
        for n, r in enumerate(some):
            axes.bar(
                n,
                r["value"],
                color=_COLOURS[r["lang"]],
                yerr=[[max(0, r["value"] - r["low"])], [max(0, r["high"] - r["value"])]],
                capsize=4,
            )
        axes.set_xticks(range(len(some)), [LANGUAGES[r["lang"]][0] for r in some])
        axes.set_title(f"{measure}{' · ' + encoder[:18] if encoder else ''}", fontsize=9)
        axes.grid(axis="y", alpha=0.25)
    for axes in figure.axes[len(groups) :]:
        axes.set_visible(False)
    drawn = svg(figure)
    names = [e["name"] for e in result["encoders"] if any(e["name"] in i["cosines"] for i in result["items"])]
    if names:
        figure = Figure(figsize=(4.2 * min(2, len(names)), 2.6), layout="constrained")
        for axes, name in zip(np.ravel(figure.subplots(1, len(names[:2]), squeeze=False)), names[:2], strict=True):
            for lang in ("ja", "en"):
                values = [
                    2.5 * max(i["cosines"][name], 0)
                    for i in result["items"]
                    if i["lang"] == lang and i["cosines"].get(name) is not None
                ]
                if values:
                    axes.hist(values, bins=30, alpha=0.55, color=_COLOURS[lang], label=LANGUAGES[lang][0])
            axes.set_xlabel("CLIPScore")
            axes.set_ylabel("pictures")
            axes.legend(frameon=False)
        drawn += svg(figure)
    return drawn


def _comparison(result: dict[str, Any], name: str) -> str:
    against = result["against"]
    other = against["model"] + "".join(f" + {x['name']}:{x['scale']:g}" for x in against["loras"])
    rows = []
    for d in against["differences"]:
        interval = (
            f" <small>({figure_text(d['measure'], d['low'])} – {figure_text(d['measure'], d['high'])})</small>"
            if "low" in d
            else ""
        )
        better = (d["value"] > 0) == MEASURES[d["measure"]] and d["value"] != 0
        verdict = ("–", "–") if d["p"] >= 0.05 or d["value"] == 0 else (name, name) if better else (other, other)
        rows.append(
            [
                both(*NAMES[d["measure"]]),
                html.escape(d.get("encoder", "")),
                both(*LANGUAGES[d["lang"]]),
                figure_text(d["measure"], d["value"]) + interval,
                f"{d['p']:.4f}",
                str(d["n"]),
                both(*verdict),
            ]
        )
    head = [
        "",
        both("encoder", "エンコーダー"),
        both("language", "言語"),
        both("difference", "差"),
        "p",
        "n",
        both("better (p < 0.05)", "優れている方（p < 0.05）"),
    ]
    return (
        f"<h2>{both(f'{name} less {other}', f'{name} − {other}')}</h2>"
        + table(head, rows)
        + paragraph(
            "Paired by prompt and seed: bootstrap interval and permutation test. p-values are not corrected for their number.",
            "同じプロンプトとシードの画像を対にした、ブートストラップ区間と並べ替え検定です。p値は検定の数で補正していません。",
            "weak",
        )
    )


def _sheet(result: dict[str, Any], folder: Path) -> str:
    parts = [f"<h2>{both('Pictures', '画像')}</h2>"]
    if any(i["place"] is not None for i in result["items"]):
        parts.append(
            paragraph(
                "Framed in red: the named concept is not among the nearest five.",
                "赤枠: 名指したものが近い5つに入らなかった画像。",
                "weak",
            )
        )
    for lang in ("ja", "en"):
        some = [i for i in result["items"] if i["lang"] == lang]
        if not some:
            continue
        missed = [i for i in some if i["place"] is not None and i["place"] >= 5][: SHOWN // 3]
        rest = [i for i in some if i not in missed]
        step = max(1, -(-len(rest) // (SHOWN - len(missed))))
        shown = sorted(missed + rest[::step], key=lambda i: (i["index"], i["copy"]))
        parts.append(f"<h3>{both(*LANGUAGES[lang])} <small>{len(shown)} / {len(some)}</small></h3>")
        for i in shown:
            try:
                image = Image.fromarray(read_pixels(folder / i["file"]))
            except BadFile:
                continue
            bad = ' class="bad"' if i["place"] is not None and i["place"] >= 5 else ""
            text = i["prompt"] if len(i["prompt"]) <= 120 else i["prompt"][:119] + "…"
            parts.append(
                f"<figure{bad}>{embedded_image(image, 160)}<figcaption>{html.escape(text)}</figcaption></figure>"
            )
    return "".join(parts)


def _recipe(result: dict[str, Any]) -> str:
    sections = {k: result[k] for k in ("app", "model", "recipe", "encoders", "reference", "concepts")}
    skipped = "".join(f"<li><code>{html.escape(s['file'])}</code></li>" for s in result["skipped"][:50])
    count = len(result["skipped"])
    more = (
        f"<h2>{both(f'{count} embedded_image(s) could not be read', f'読めなかった画像 {count} 枚')}</h2><ul>{skipped}</ul>"
        if skipped
        else ""
    )
    data = html.escape(json.dumps(sections, ensure_ascii=False, indent=1))
    return f"{more}<h2>{both('Recipe', '条件')}</h2><pre>{data}</pre>"


def write_sheet(path: Path, result: dict[str, Any], folder: Path) -> None:
    """A contact sheet of all images as a PNG: Japanese above English, twenty per row. Raises DiskFull, OutputFolder."""
    from engine.contract.files import replacing

    side, columns = 64, 20
    cells: dict[int, list[Any]] = {}
    for i in result["items"]:
        cells.setdefault(i["index"], []).append(i)
    tall = max(len(c) for c in cells.values())
    sheet = Image.new("RGB", (columns * side, -(-len(cells) // columns) * tall * side), "white")
    for n, some in enumerate(cells.values()):
        for level, i in enumerate(some):
            try:
                image = Image.fromarray(read_pixels(folder / i["file"])).resize((side, side), Image.Resampling.LANCZOS)
            except BadFile:
                continue
            sheet.paste(image, (n % columns * side, (n // columns * tall + level) * side))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    with replacing(path) as f:
        f.write(out.getvalue())
