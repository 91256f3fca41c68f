"""Building blocks of the HTML reports: one self-contained file, every text in English and Japanese."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from engine.contract.files import replacing

_STYLE = """body{font:15px/1.6 system-ui,"Hiragino Sans","Yu Gothic UI","Noto Sans CJK JP",sans-serif;max-width:76rem;
margin:2rem auto;padding:0 1rem;
color:#222;background:#fff}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;
margin:.6rem 0}
td,th{padding:.2rem .9rem .2rem 0;text-align:left;vertical-align:top}tbody tr{border-top:1px solid #8883}
td.n{text-align:right;font-variant-numeric:tabular-nums}
code{overflow-wrap:anywhere}small,.weak{color:#666}figure{display:inline-block;margin:0 .6rem .8rem 0;
vertical-align:top;max-width:22rem}
figure img{display:inline-block;max-width:100%;height:auto;image-rendering:auto;border:2px solid transparent}
figure.bad img{border-color:#c33}
figcaption{font-size:.8rem;color:#555;overflow-wrap:anywhere;max-width:10rem}figure.pair figcaption{max-width:21rem}
svg{max-width:100%;height:auto}
#l{position:absolute;opacity:0}#l:focus-visible+label{outline:2px solid #1f6fb2}label.lang{float:right;cursor:pointer;
border:1px solid #8886;border-radius:.4rem;padding:.1rem .7rem}
#l:not(:checked)~main span[lang=ja],#l:not(:checked)~label span[lang=en],#l:checked~main span[lang=en],
#l:checked~label span[lang=ja]{display:none}
.alarm{border-left:4px solid #c33;padding-left:.8rem}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}figcaption,small,.weak{color:#aaa}
svg{background:#fff}}"""

_BLOCKED_SOURCES = ("script", "connect", "font", "object", "frame", "media")


def both(english: str, japanese: str) -> str:
    """A text in both languages; the page's button selects one."""
    return f'<span lang="en">{html.escape(english)}</span><span lang="ja">{html.escape(japanese)}</span>'


def paragraph(english: str, japanese: str, kind: str = "") -> str:
    """A paragraph in both languages."""
    return f'<p class="{kind}">{both(english, japanese)}</p>'


def row(cells: Sequence[str], tag: str = "td") -> str:
    """A table row of HTML cells; numbers are aligned to the right."""
    return (
        "<tr>"
        + "".join(f"<{tag}{' class=n' if tag == 'td' and _is_figure(c) else ''}>{c}</{tag}>" for c in cells)
        + "</tr>"
    )


def _is_figure(cell: str) -> bool:
    return bool(re.match(r"[-−.]?\d", cell))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of HTML cells."""
    return f"<table><thead>{row(head, 'th')}</thead><tbody>{''.join(row(r) for r in rows)}</tbody></table>"


def embedded_image(image: Image.Image, side: int) -> str:
    """An ``img`` element with the image embedded, at most ``side`` pixels long; small images are not enlarged."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    if max(image.size) <= 128:
        small.save(out, "PNG")
    else:
        small.save(out, "JPEG", quality=85)
    kind = "png" if max(image.size) <= 128 else "jpeg"
    data = base64.b64encode(out.getvalue()).decode("ascii")
    return f'<img alt="" width="{small.width}" height="{small.height}" src="data:image/{kind};base64,{data}">'


def svg(figure: Any) -> str:
    """A matplotlib figure as inline SVG; within ``plot_style`` the same figure gives the same text."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue().decode("utf-8")
    return text[text.index("<svg") :]


def write(path: Path, title: tuple[str, str], body: Sequence[str], japanese: bool = False) -> None:
    """Write the page; ``japanese``: whether it opens in Japanese.

    Raises:
        DiskFull, OutputFolder
    """
    page = (
        '<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="img-src data:; '
        + "; ".join(f"{x}-src 'none'" for x in _BLOCKED_SOURCES)
        + '">'
        f"<title>{html.escape(title[0])} / {html.escape(title[1])}</title><style>{_STYLE}</style></head><body>"
        f'<input type="checkbox" id="l"{" checked" if japanese else ""}><label class="lang" for="l">'
        '<span lang="ja">日本語</span><span lang="en">English</span></label>'
        f"<main><h1>{both(*title)}</h1>{''.join(body)}</main></body></html>\n"
    )
    with replacing(path) as f:
        f.write(page.encode("utf-8"))
