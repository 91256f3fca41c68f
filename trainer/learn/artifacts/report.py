"""``report.html`` of a run: its inputs and result with curves and previews.

It is one self-contained file, in English and Japanese.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.contract.files import replacing
from trainer.learn.log import read_log
from trainer.plot_style import plot_style

_STYLE = """body{font:15px/1.6 system-ui,"Hiragino Sans","Yu Gothic UI","Noto Sans CJK JP",sans-serif;
max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}h1{font-size:1.5rem}
h2{font-size:1.1rem;margin-top:2rem}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}
code{overflow-wrap:anywhere}
figure{display:inline-block;margin:0 .8rem .8rem 0;width:10rem;vertical-align:top}img{max-width:100%;height:auto}
figcaption{font-size:.8rem;color:#555}svg{max-width:100%;height:auto}@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}
figcaption{color:#aaa}svg{background:#fff}}"""
_PREVIEWS = 24  # images in one report


def _both(english: str, japanese: str) -> str:
    return f'<span lang="en">{html.escape(english)}</span> / <span lang="ja">{html.escape(japanese)}</span>'


def smooth(values: Sequence[float], width: int = 0) -> list[float]:
    """Exponential running mean that starts at the first value; ``width`` 0 is a twentieth of the length."""
    width = width or max(1, len(values) // 20)
    smoothed, mean = [], values[0] if values else 0.0
    for v in values:
        mean += (v - mean) / width
        smoothed.append(mean)
    return smoothed


def plot(lines: Sequence[Mapping[str, Any]], form: str = "svg") -> bytes:
    """Losses over steps, and the learning rate below, as SVG or PNG; the same lines give the same bytes."""
    from matplotlib.figure import Figure

    steps = [x for x in lines if x.get("event") == "step"]
    heldout = [x for x in lines if x.get("event") == "heldout"]
    with plot_style():
        figure = Figure(figsize=(9, 5.2), layout="constrained")
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        x, y = [s["step"] for s in steps], [s["loss"] for s in steps]
        top.plot(x, y, color="#9ec5e8", linewidth=0.7, label="training, each step")
        top.plot(x, smooth(y), color="#1f6fb2", linewidth=1.6, label="training, smoothed")
        if heldout:
            top.plot(
                [h["step"] for h in heldout],
                [h["loss"] for h in heldout],
                color="#d1495b",
                marker="o",
                markersize=3,
                label="heldout out",
            )
        top.set_ylabel("loss")
        top.grid(alpha=0.25)
        top.legend(frameon=False)
        below.plot(x, [s["lr"] for s in steps], color="#555")
        below.set_ylabel("learning rate")
        below.set_xlabel("step")
        below.grid(alpha=0.25)
        out = io.BytesIO()
        figure.savefig(out, format=form, **({"metadata": {"Date": None}} if form == "svg" else {"dpi": 120}))
    return out.getvalue()


def write_report(folder: Path, title: str, facts: Sequence[tuple[str, str, str]], config: Mapping[str, Any]) -> Path:
    """``facts`` are (English, Japanese, value). Returns the file. Raises OutputFolder, DiskFull."""
    lines = list(read_log(folder))
    rows = "".join(f"<tr><th>{_both(e, j)}</th><td><code>{html.escape(v)}</code></td></tr>" for e, j, v in facts)
    previews = [x for x in lines if x.get("event") == "preview"]
    images = []
    for x in _spread(previews):
        try:
            data = base64.b64encode(Path(x["path"]).read_bytes()).decode("ascii")
        except OSError:
            continue
        images.append(
            f'<figure><img alt="" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(x['prompt'])}<br>{x['step']}</figcaption></figure>"
        )
    curve = plot(lines).decode("utf-8")
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f"<table>{rows}</table>",
        f"<h2>{_both('Loss', '損失')}</h2>",
        curve[curve.index("<svg") :],
    ]
    if images:
        body += [f"<h2>{_both('Previews', 'プレビュー')}</h2>", *images]
    body += [
        f"<h2>{_both('Configuration', '設定')}</h2>",
        f"<pre>{html.escape(json.dumps(config, ensure_ascii=False, indent=1))}</pre>",
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )
    path = folder / "report.html"
    with replacing(path) as f:
        f.write(page.encode("utf-8"))
    return path


def _spread(previews: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most ``_PREVIEWS`` of them, evenly from the whole run, including the last."""
    steps = sorted({x["step"] for x in previews})
    each = max(1, len(previews) // max(1, len(steps)))
    most = max(1, _PREVIEWS // each)
    if len(steps) > most:
        steps = [steps[round(n * (len(steps) - 1) / max(1, most - 1))] for n in range(most)] if most > 1 else steps[-1:]
    return [x for x in previews if x["step"] in set(steps)]
