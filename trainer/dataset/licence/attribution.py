"""``ATTRIBUTION.md``: title, author, source and licence of every image (TASL, as Creative Commons recommends), in
both languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from engine.contract.files import replacing
from trainer.dataset.licence_names import url_of
from trainer.dataset.records import Record
from trainer.dataset.spdx import Expression, parse

FILE = "ATTRIBUTION.md"
_HEAD = """# Attribution / 出典と著作者

{count} image(s), each with title, author, source and licence as recorded in `metadata.jsonl`.
画像 {count} 点の題名、作者、出典、ライセンスです(`metadata.jsonl` の記録によります)。
"""


def _plain(text: str) -> str:
    """One line, with Markdown's signs made harmless."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(text.split()))[:500]


def _link(text: str, url: str) -> str:
    """A link where the address is one of the web, else plain text."""
    if re.fullmatch(r"https?://[^\s<>]+", url):
        return f"[{text}](<{url}>)"
    return f"{text} ({_plain(url)})" if url else text


def entry(record: Record) -> str:
    """One image on one line."""
    title = f"“{_plain(record.title)}”" if record.title else f"`{record.file_name.replace('`', '')}`"
    licence = record.license
    try:
        expression: Expression | None = parse(licence)
    except ValueError:
        expression = None
    url = record.license_url or (url_of(licence) if expression else "")
    parts = [title]
    if record.creator:
        parts.append(f"by {_plain(record.creator)}")
    line = " ".join(parts) + (f", {_link('source', record.source_url)}" if record.source_url else "")
    line += f", {_link(_plain(licence) or '?', url)}"
    if record.modified:
        line += f", changed: {_plain(record.modified)}"
    return f"- {line}" + (f" — `{record.file_name.replace('`', '')}`" if record.title else "")


def write_attribution(folder: Path, records: Iterable[Record]) -> Path:
    """Grouped by licence, sorted by file name. Raises DiskFull, OutputFolder."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.license, []).append(record)
    count = sum(map(len, groups.values()))
    with replacing(folder / FILE) as f:
        f.write(_HEAD.format(count=count).encode("utf-8"))
        for licence in sorted(groups):
            f.write(f"\n## {_plain(licence) or '?'} ({len(groups[licence])})\n\n".encode())
            for record in sorted(groups[licence], key=lambda r: r.file_name):
                f.write((entry(record) + "\n").encode("utf-8"))
    return folder / FILE
