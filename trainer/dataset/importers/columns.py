"""Column names of published datasets; docs/datasets.md says which were verified.

A map gives the foreign names of each of our columns; ``image_columns`` contain or point to the image.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from trainer.dataset.evidence.columns import speaks_of_licence
from trainer.dataset.importers.source import ALIASES, from_columns

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


@dataclass(frozen=True)
class Columns:
    """Column names of one dataset."""

    signs: frozenset[str]  # columns that identify this dataset
    aliases: dict[str, tuple[str, ...]]
    image_columns: tuple[str, ...]  # bytes, a path, or an address whose last part is the file's name
    keys: tuple[str, ...] = ()  # ids that an image's file may be called by
    machine_captions: dict[str, str] = field(default_factory=dict)  # caption column -> who wrote it


GENERIC = Columns(
    frozenset(),
    ALIASES,
    (
        "file_name",
        "filename",
        "file",
        "file_path",
        "filepath",
        "path",
        "image",
        "image_path",
        "image_file",
        "img",
        "img_path",
        "image_url",
        "img_url",
    ),
    ("id", "key"),
)
_FLICKR_ALIASES = {
    "text": ("text", "caption", "blip2_caption"),
    "text_ja": ("text_ja", "caption_ja"),
    "license_url": ("licenseurl", "license_url"),
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
# values of training_permission that forbid training, as CAWG spells them and in plain words
FORBIDDEN = frozenset(
    ("notallowed", "not allowed", "not-allowed", "denied", "no", "false", "forbidden", "prohibited", "block", "blocked")
)
SETS = {"commoncatalog": COMMONCATALOG, "yfcc100m": YFCC, "megalith": MEGALITH}


def which(names: set[str]) -> str:
    """The set whose signs are all among the column names, or ``table``."""
    low = {n.lower().strip() for n in names}
    return next((name for name, columns in SETS.items() if columns.signs <= low), "table")


_LONGEST = 20_000  # characters of a foreign column that is stored


def values_of(row: dict[str, Any], columns: Columns) -> tuple[dict[str, Any], dict[str, Any]]:
    """Our columns, and the unused foreign ones that are small enough to store."""
    values, used = from_columns(row, columns.aliases)
    for column, origin in columns.machine_captions.items():
        if origin and column in used and not values.get("caption_origin"):
            values["caption_origin"] = origin
    ours = ("sha256", "license", "text", "text_ja", "license_statements")
    extra = {}
    for name, value in row.items():
        if not isinstance(name, str) or name in used or name in ours or name.lower() in GENERIC.image_columns:
            continue
        if value in (None, "") or value != value or speaks_of_licence(name):  # those are in the statements
            continue
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            text.encode("utf-8")
        except (TypeError, ValueError, RecursionError):
            continue
        if len(text) < _LONGEST:
            extra[name] = value
    return values, extra


def fill_in(values: dict[str, Any], extra: dict[str, Any], row: dict[str, Any]) -> None:
    """Add values of a JSON object beside an image that no nearer source gives.

    Its captions are used where there are no others.
    """
    more, others = values_of(row, SETS.get(which(set(row)), GENERIC))
    has_captions = "text" in values or "text_ja" in values
    for name, value in more.items():
        if not (has_captions and name in ("text", "text_ja", "caption_origin")):
            values.setdefault(name, value)
    for name, value in others.items():
        extra.setdefault(name, value)


def smithsonian(row: dict[str, Any]) -> list[tuple[dict[str, Any], list[str], dict[str, Any]]]:
    """Each image of an Open Access record: our columns, the possible names of its file, and its media object."""
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
    results = []
    for one in media.get("media", []) if isinstance(media, dict) else []:
        if not isinstance(one, dict) or str(one.get("type", "Images")) != "Images":
            continue
        usage = one.get("usage")
        access = str(usage.get("access", "")) if isinstance(usage, dict) else ""
        ids = [str(one[k]) for k in ("idsId", "content", "guid", "thumbnail") if one.get(k)]
        results.append(
            (
                {
                    "text": (str(title),) if title else (),
                    "license": access,
                    "creator": "; ".join(makers[:5]),
                    "title": str(title),
                    "source_url": str(fixed.get("record_link") or fixed.get("guid") or row.get("url") or ""),
                    "evidence": str(fixed.get("data_source", "")),
                },
                ids,
                one,
            )
        )
    return results
