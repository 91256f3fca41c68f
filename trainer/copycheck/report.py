"""The report of the copy check as one HTML file: values, the training set's own, and pairs of images.

It never claims that there are no copies.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.copycheck.check import ordered
from trainer.copycheck.copies import thumbnail
from trainer.evaluation.page import both, embedded_image, paragraph, svg, table, write
from trainer.plot_style import plot_style

SHOWN = 60  # pairs
KINDS = {
    "file": ("the same file", "同じファイル"),
    "pixels": ("the same pixels", "同じ画素"),
    "near": ("looks the same", "見た目が同じ"),
    "mirrored": ("looks the same when mirrored", "左右反転すると見た目が同じ"),
}


def write_report(path: Path, answer: dict[str, Any], dataset: Path) -> None:
    """Raises DiskFull, OutputFolder."""
    copied = answer["copied"]
    body = [
        paragraph(
            f"{answer['pictures']} embedded_image(s) against {answer['known']} of {dataset.name}: {copied} exact or near copies.",
            f"{dataset.name} の {answer['known']} 枚に対して {answer['pictures']} 枚を調べ、完全一致またはほぼ同じ画像は {copied} 枚でした。",
            "alarm" if copied else "",
        )
    ]
    body.append(
        table(
            [both(*x) for x in (("kind of copy", "種類"), ("pictures", "枚数"))],
            [[both(*KINDS[k]), str(n)] for k, n in answer["kinds"].items()],
        )
    )
    body.append(
        paragraph(
            "Hashes find recompressed, scaled and mirrored copies, not cropped ones, parts of pictures or styles. What they do not find may still be "
            "a copy, and none of these figures says anything about the law.",
            "ハッシュで見つかるのは再圧縮・縮小・反転した写しで、切り抜き・一部分・画風は見つかりません。見つからなくても写しでないとは言えず、"
            "どの値も法的な判断ではありません。",
            "weak",
        )
    )
    with plot_style():
        body += [_features(answer["features"]), _plot(answer)]
    if "overfit" in answer:
        body.append(_overfit(answer["overfit"]))
    if "extraction" in answer:
        body.append(_extraction(answer["extraction"]))
    if "captioned" in answer:
        body.append(
            paragraph(
                f"{answer['captioned']} embedded_image(s) have exactly the caption of a training picture as their prompt.",
                f"学習画像の説明文をそのままプロンプトにした画像が {answer['captioned']} 枚あります。",
            )
        )
    body.append(_pairs(answer, dataset))
    if answer["skipped"]:
        count = len(answer["skipped"])
        body.append(
            f"<h2>{both(f'{count} file(s) could not be read', f'読めなかったファイル {count} 件')}</h2><ul>"
            + "".join(f"<li><code>{html.escape(s['file'])}</code></li>" for s in answer["skipped"][:50])
            + "</ul>"
        )
    write(path, ("Copy check", "写しの検査"), body)


def _figure(value: float | None, share: bool = False) -> str:
    return "–" if value is None else f"{value:.1%}" if share else f"{value:.3f}"


def _features(measured: Sequence[dict[str, Any]]) -> str:
    parts = [f"<h2>{both('Nearest training pictures', '最も近い学習画像')}</h2>"]
    head = [
        both(*x)
        for x in (("encoder", "エンコーダー"), ("", ""), ("pictures", "枚数"), ("above 0.5", "0.5を超える割合"))
    ] + ["75 %", "90 %", "95 %"]
    rows = []
    for m in measured:
        for name, values in (
            (("checked", "調べた画像"), m),
            (("training set to itself", "学習画像どうし"), m["baseline"]),
        ):
            rows.append(
                [
                    html.escape(m["encoder"]),
                    both(*name),
                    str(values["n"]),
                    _figure(values["share_above_half"], True),
                    *(_figure(values[k]) for k in ("p75", "p90", "p95")),
                ]
            )
    parts.append(table(head, rows))
    for m in measured:
        if m["above_baseline_p95"] is not None:
            parts.append(
                paragraph(
                    f"{m['encoder']}: {m['above_baseline_p95']:.1%} lie nearer to a training picture than 95 % of training pictures lie to each other.",
                    f"{m['encoder']}: 学習画像どうしの95%よりも学習画像に近いものが {m['above_baseline_p95']:.1%} あります。",
                )
            )
        if m["encoder"] == "built-in":
            parts.append(
                paragraph(
                    "The built-in features are weak: coarse colours and edges of the whole picture. Cosines above 0.5 are common between unrelated "
                    "pictures; look at the difference from the training set's own figures, and use an encoder made to find copies, such as SSCD.",
                    "内蔵の特徴は弱いものです（画像全体の粗い色と輪郭）。無関係な画像でも0.5を超えることは珍しくありません。学習画像どうしの値との差を見て、"
                    "SSCDなど写しを探すためのエンコーダーを使ってください。",
                    "weak",
                )
            )
    return "".join(parts)


def _plot(answer: dict[str, Any]) -> str:
    from matplotlib.figure import Figure

    measured = [m for m in answer["features"] if m["n"]]
    if not measured:
        return ""
    figure = Figure(figsize=(4.6 * len(measured[:3]), 2.8), layout="constrained")
    for axes, m in zip(figure.subplots(1, len(measured[:3]), squeeze=False)[0], measured, strict=False):
        values = [r["nearest"][m["encoder"]][0]["similarity"] for r in answer["rows"] if r["nearest"].get(m["encoder"])]
        axes.hist(values, bins=30, color="#1f6fb2", alpha=0.7, label="checked")
        for name, style in (("p75", ":"), ("p90", "--"), ("p95", "-")):
            if m["baseline"][name] is not None:
                axes.axvline(
                    m["baseline"][name],
                    color="#d1495b",
                    linestyle=style,
                    linewidth=1.2,
                    label=f"training set {name[1:]} %",
                )
        axes.set_title(m["encoder"][:24], fontsize=9)
        axes.set_xlabel("cosine to nearest training picture")
        axes.legend(frameon=False, fontsize=7)
    return svg(figure)


def _overfit(values: dict[str, Any]) -> str:
    title = f"<h2>{both('Training against held-out loss', '学習損失と検証損失')}</h2>"
    if values["alarm"] is None:
        return title + paragraph(
            "There are fewer than three held-out losses; no statement is possible.",
            "検証損失が3回未満のため、何も言えません。",
        )
    english = (
        f"Held-out loss was lowest at step {values['best_step']} ({values['best']:.4f}) and is now {values['last']:.4f} ({values['rise']:+.1%}); "
        f"training loss fell by {values['fall']:.1%} since."
    )
    japanese = (
        f"検証損失はステップ {values['best_step']} で最も低く（{values['best']:.4f}）、現在は {values['last']:.4f}（{values['rise']:+.1%}）です。"
        f"その間に学習損失は {values['fall']:.1%} 下がりました。"
    )
    if values["alarm"]:
        return title + paragraph(
            "The run is overfitting. " + english, "学習データを暗記し始めています。" + japanese, "alarm"
        )
    return title + paragraph(english, japanese)


def _extraction(values: dict[str, Any]) -> str:
    title = f"<h2>{both('Extraction of training images', '学習画像の引き出し')}</h2>"
    head = [
        both(*x)
        for x in (
            ("caption", "説明文"),
            ("training pictures with it", "その説明文の学習画像"),
            ("seeds", "シード数"),
            ("copies", "写し"),
            ("similarity to each other", "互いの類似"),
            ("nearest", "最も近い"),
            ("near one picture", "同じ1枚に近い"),
            ("flag", "注意"),
        )
    ]
    rows = [
        [
            html.escape(c["caption"][:120]),
            str(c["pictures"]),
            str(c["seeds"]),
            str(c["copies"]),
            _figure(c["alike"]),
            _figure(c["nearest"]),
            f"{c['times']} {html.escape(c['one_picture'])}",
            both("check it", "要確認") if c["flagged"] else "–",
        ]
        for c in values["captions"]
    ]
    note = paragraph(
        "Many seeds of one caption that are similar and near one training picture are a sign that it was memorised.",
        "一つの説明文から多くのシードで似た画像ができ、同じ学習画像に近いなら、暗記のしるしです。",
        "weak",
    )
    return title + table(head, rows) + note


def _pairs(answer: dict[str, Any], dataset: Path) -> str:
    parts = [f"<h2>{both('Pairs, the most serious first', '対（重いものから）')}</h2>"]
    for row in ordered(answer)[:SHOWN]:
        copies = [(c["file"], both(*KINDS[c["kind"]])) for c in row["copies"][:2]]
        near = next(((name, some[0]) for name, some in row["nearest"].items() if some), None)
        shown = copies or ([(near[1]["file"], f"{html.escape(near[0])} {near[1]['similarity']:.3f}")] if near else [])
        mine = thumbnail(Path(row["file"]))
        if mine is None or not shown:
            continue
        for file, what in shown:
            other = thumbnail(dataset / file)
            prompt = f"<br>{html.escape(row['prompt'][:120])}" if row.get("prompt") else ""
            parts.append(
                f'<figure class="pair{" bad" if copies else ""}">{embedded_image(mine, 160)} {embedded_image(other, 160) if other else ""}'
                f"<figcaption>{what}<br>{html.escape(Path(row['file']).name)} · {html.escape(file)}{prompt}</figcaption></figure>"
            )
    return "".join(parts)
