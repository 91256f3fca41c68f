"""What every importer yields, and the defaults a person gives on the line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import NoLicence, Phrase
from trainer.dataset.spdx import from_statement, from_url, url_of

# what tables call things -> our column; the first that is there and not empty counts
ALIASES: dict[str, tuple[str, ...]] = {
    "text": ("text", "caption", "text_en", "caption_en", "prompt", "description"),
    "text_ja": ("text_ja", "caption_ja", "japanese", "ja"),
    "license": ("license", "licence", "license_id", "spdx", "rights"),
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
    """What the person said for all pictures that do not say it themselves."""

    license: str = ""
    license_url: str = ""
    creator: str = ""
    source_url: str = ""
    encoding: str = "utf-8-sig"
    pictures: Path | None = None  # where the pictures of a table lie
    caption_origin: str = ""

    def fill(self, values: dict[str, Any], where: object) -> dict[str, Any]:
        """``values`` with what they lack, and the licence as an SPDX id where it can be told without guessing.

        Raises:
            NoLicence: neither the source nor the person names one.
        """
        made = dict(values)
        stated = str(made.get("license") or "").strip()
        url = str(made.get("license_url") or "").strip()
        if stated or url:
            # an address tells the version, which names such as "Attribution License" leave open
            known = from_url(url) or from_statement(stated)
            made["license"] = known or stated or "NOASSERTION"
        else:
            made["license"] = from_statement(self.license) or self.license
            url = self.license_url
        if not made["license"]:
            raise NoLicence(path=where)
        made["license_url"] = url or url_of(made["license"])
        for name in ("creator", "source_url", "caption_origin"):
            made[name] = made.get(name) or getattr(self, name)
        return made


@dataclass(frozen=True)
class Item:
    """One picture: its name here, where its bytes are, and columns of a record beside ``file_name`` and ``sha256``."""

    name: str
    where: Path | bytes
    values: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class Skipped:
    """What was left out, and why: a count for each reason, and the first names."""

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
    """Our columns out of a row with others' names, and which of its columns were used."""
    lower = {k.lower().strip(): k for k in row}
    values: dict[str, Any] = {}
    used: set[str] = set()
    for ours, names in aliases.items():
        for name in names:
            key = lower.get(name)
            if key is None or row[key] in (None, "", []):
                continue
            if ours in ("text", "text_ja"):
                if got := captions(row[key]):
                    values[ours] = got
                    used.add(key)
                    break
            elif isinstance(row[key], (str, int, float)):
                values[ours] = str(row[key]).strip()
                used.add(key)
                break
    return values, used
