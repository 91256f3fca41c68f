"""What a case of a data set is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.cases.build import BY, lines

GIVEN = {"license": "CC0-1.0", "creator": "Jane", "source_url": "https://example.org/set"}
NC_ROW = {"license": "CC-BY-NC-4.0", "creator": "Jane", "source_url": "https://example.org/1"}
BY_ROW = {"license": "CC-BY-4.0", "license_url": BY, "creator": "Jane", "source_url": "https://example.org/1"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """``licences`` and ``captions`` are of the records, by file name; ``start`` is what of ``files`` is imported."""

    files: Callable[[], Mapping[str, bytes | str]]
    options: Mapping[str, str] = field(default_factory=dict)
    form: str = "auto"
    start: str = ""
    licences: Mapping[str, str] | None = None
    captions: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    passes: bool = False
    rules: frozenset[str] = frozenset()  # of the blocking findings, all of them
    left_out: int = 0


def row(name: str = "0.png", **columns: object) -> bytes:
    return lines({"file_name": name, "text": "a shape"} | columns)
