"""Column names of known sets, as far as known. What was seen and what was recalled stands in docs/datasets.md.

A map names, for each of our columns, theirs; ``picture`` names columns that hold or point to the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trainer.dataset.importers.source import ALIASES, from_columns
from trainer.dataset.spdx import NO_KNOWN_COPYRIGHT, US_GOVERNMENT

# YFCC100M's table has no header; its 25 columns in order
YFCC_COLUMNS = (
    "line",
    "photoid",
    "hash",
    "uid",
    "unickname",
    "datetaken",
    "dateuploaded",
    "capturedevice",
    "title",
    "description",
    "usertags",
    "machinetags",
    "longitude",
    "latitude",
    "accuracy",
    "pageurl",
    "downloadurl",
    "licensename",
    "licenseurl",
    "serverid",
    "farmid",
    "secret",
    "secretoriginal",
    "ext",
    "marker",
)
# Flickr's numbers for licences, as its API tells them; CC ones without a version of their own are 2.0 there
FLICKR = {
    "1": "CC-BY-NC-SA-2.0",
    "2": "CC-BY-NC-2.0",
    "3": "CC-BY-NC-ND-2.0",
    "4": "CC-BY-2.0",
    "5": "CC-BY-SA-2.0",
    "6": "CC-BY-ND-2.0",
    "7": NO_KNOWN_COPYRIGHT,
    "8": US_GOVERNMENT,
    "9": "CC0-1.0",
    "10": "CC-PDM-1.0",
}


@dataclass(frozen=True)
class Columns:
    """How one set names things."""

    signs: frozenset[str]  # columns that tell this set from others
    aliases: dict[str, tuple[str, ...]]
    picture: tuple[str, ...]  # bytes, a path, or an address whose last part is the file's name
    keys: tuple[str, ...] = ()  # ids that a picture's file may be called by
    machine_captions: dict[str, str] = field(default_factory=dict)  # caption column -> who wrote it


GENERIC = Columns(
    frozenset(), ALIASES, ("file_name", "filename", "file", "path", "image", "image_path", "img"), ("id", "key")
)
_FLICKR_ALIASES = {
    "text": ("text", "caption", "blip2_caption"),
    "text_ja": ("text_ja", "caption_ja"),
    "license_url": ("licenseurl", "license_url"),
    "license": ("licensename", "license", "license_name"),
    "creator": ("unickname", "usernickname", "ownername", "owner", "uid"),
    "title": ("title",),
    "source_url": ("pageurl", "page_url", "url_source", "url"),
    "caption_origin": ("caption_origin",),
}
COMMONCATALOG = Columns(
    frozenset({"licenseurl", "blip2_caption"}),
    _FLICKR_ALIASES,
    ("jpg", "image", "file_name", "key", "downloadurl"),
    ("key", "photoid"),
    {"blip2_caption": "machine:BLIP-2", "caption": ""},
)
YFCC = Columns(
    frozenset({"photoid", "licenseurl", "pageurl"}),
    _FLICKR_ALIASES | {"text": ("description", "title")},
    ("jpg", "file_name", "downloadurl"),
    ("photoid", "hash"),
)
MEGALITH = Columns(
    frozenset({"url_highres", "url_source"}),
    _FLICKR_ALIASES | {"text": ("caption", "text")},
    ("jpg", "file_name", "url_highres", "url"),
    ("id", "key", "photoid"),
)
SETS = {"commoncatalog": COMMONCATALOG, "yfcc100m": YFCC, "megalith": MEGALITH}


def which(names: set[str]) -> str:
    """The set whose signs are all among the column names, or ``table``."""
    low = {n.lower().strip() for n in names}
    return next((name for name, columns in SETS.items() if columns.signs <= low), "table")


def values_of(row: dict[str, Any], columns: Columns) -> tuple[dict[str, Any], dict[str, Any]]:
    """Our columns, and those of theirs that nobody used and that are small enough to keep."""
    values, used = from_columns(row, columns.aliases)
    if values.get("license", "") in FLICKR:
        values["license"] = FLICKR[values["license"]]
    for column, origin in columns.machine_captions.items():
        if origin and column in used and not values.get("caption_origin"):
            values["caption_origin"] = origin
    keep = {
        k: v
        for k, v in row.items()
        if k not in used
        and k.lower() not in GENERIC.picture
        and isinstance(v, (str, int, float, bool))
        and len(str(v)) < 2000
        and v != ""
        and v == v
        and k not in ("sha256", "license", "text", "text_ja")
    }
    return values, keep


def smithsonian(row: dict[str, Any]) -> list[tuple[dict[str, Any], list[str]]]:
    """Each picture of an Open Access record: our columns, and the names its file may have."""
    content = row.get("content")
    fixed = content.get("descriptiveNonRepeating") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(fixed, dict):
        return []
    title = fixed.get("title")
    title = title.get("content", "") if isinstance(title, dict) else row.get("title", "")
    free = content.get("freetext")
    names = free.get("name", []) if isinstance(free, dict) else []
    makers = (
        [str(n["content"]) for n in names if isinstance(n, dict) and n.get("content")]
        if isinstance(names, list)
        else []
    )
    media = fixed.get("online_media")
    found = []
    for one in media.get("media", []) if isinstance(media, dict) else []:
        if not isinstance(one, dict) or str(one.get("type", "Images")) != "Images":
            continue
        usage = one.get("usage")
        access = str(usage.get("access", "")) if isinstance(usage, dict) else ""
        ids = [str(one[k]) for k in ("idsId", "content", "guid", "thumbnail") if one.get(k)]
        found.append(
            (
                {
                    "text": (str(title),) if title else (),
                    "license": access or "NOASSERTION",
                    "creator": "; ".join(makers[:5]),
                    "title": str(title),
                    "source_url": str(fixed.get("record_link") or fixed.get("guid") or row.get("url") or ""),
                    "evidence": str(fixed.get("data_source", "")),
                },
                ids,
            )
        )
    return found
