"""What every importer yields, and the defaults a person gives on the line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import Phrase
from trainer.dataset.evidence.statement import Statement
from trainer.dataset.language import by_language

# our column -> usual names in tables; the first that is not empty counts
ALIASES: dict[str, tuple[str, ...]] = {
    "text": ("text", "caption", "text_en", "caption_en", "prompt", "description"),
    "text_ja": ("text_ja", "caption_ja", "japanese", "ja"),
    "license_url": ("license_url", "licence_url", "licenseurl", "rights_url"),
    "creator": ("creator", "author", "artist", "photographer", "credit"),
    "title": ("title", "name"),
    "source_url": ("source_url", "source", "page_url", "pageurl", "landing_url", "url"),
    "modified": ("modified", "changes"),
    "evidence": ("evidence",),
    "caption_origin": ("caption_origin",),
    "training_permission": ("training_permission",),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Defaults for images that state no value of their own."""

    license: str = ""
    license_url: str = ""
    creator: str = ""
    source_url: str = ""
    encoding: str = "utf-8-sig"
    pictures: Path | None = None  # where the images of a table lie
    caption_origin: str = ""
    license_table: str = ""  # the source gives licences as numbers of this table (see evidence.statement.TABLES)


@dataclass(frozen=True)
class Item:
    """One image to import: its name, path or bytes, record columns, and licence statements outside its own bytes."""

    name: str
    where: Path | bytes
    values: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    statements: tuple[Statement, ...] = ()


@dataclass
class Skipped:
    """Skipped files: a count for each reason, and the first names."""

    reasons: dict[str, tuple[Phrase, list[str], int]] = field(default_factory=dict)

    def add(self, name: str, why: Phrase) -> None:
        phrase, names, count = self.reasons.get(why.template, (why, [], 0))
        self.reasons[why.template] = (phrase, [*names, name] if len(names) < 20 else names, count + 1)

    @property
    def count(self) -> int:
        return sum(c for _, _, c in self.reasons.values())


Skip = Callable[[str, Phrase], None]


def captions(value: Any) -> tuple[str, ...]:
    """A cell as captions: text, or a list of texts (as JSON too)."""
    if isinstance(value, str):
        return (value.strip(),) if value.strip() else ()
    if isinstance(value, list):
        return tuple(v.strip() for v in value if isinstance(v, str) and v.strip())
    return ()


def from_columns(row: dict[str, Any], aliases: dict[str, tuple[str, ...]]) -> tuple[dict[str, Any], set[str]]:
    """Map a row's foreign column names to ours; also returns which of its columns were used.

    Captions of a column without a language are assigned by the script they are written in.
    """
    lower = {k.lower().strip(): k for k in reversed(row) if isinstance(k, str)}
    values: dict[str, Any] = {}
    used: set[str] = set()
    for ours, names in aliases.items():
        for name in names:
            key = lower.get(name)
            value = None if key is None else row[key]
            if key is None or value in (None, "", []):
                continue
            if ours in ("text", "text_ja"):
                if not (got := captions(value)):
                    continue
                parts = by_language(got) if ours == "text" and name not in ("text_en", "caption_en") else {ours: got}
                for column, texts in parts.items():
                    values[column] = tuple(dict.fromkeys((*values.get(column, ()), *texts)))
            elif isinstance(value, bool):
                values[ours] = "yes" if value else ""
            elif isinstance(value, (str, int, float)):
                values[ours] = str(value).strip()
            else:
                continue
            used.add(key)
            break
    return {k: v for k, v in values.items() if v not in ("", ())}, used
