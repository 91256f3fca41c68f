"""Statistics of a dataset folder by licence, creator, language and size, and its records one by one.

Nothing is checked against a policy.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from engine.contract.errors import BadFile, BadPicture, Phrase
from trainer.dataset.files import sha256_of
from trainer.dataset.images import opened, orientation
from trainer.dataset.licence.attribution import entry
from trainer.dataset.licence.facts_cache import FactsCache
from trainer.dataset.licence.file_facts import Progress, gather
from trainer.dataset.records import LANGUAGES, Record, read_records, to_row
from trainer.dataset.spdx import parse
from trainer.dataset.tree import FileLocator

_SHOWN = 30


def summary(folder: Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Counts by licence, class, creator, language, caption origin, format and size.

    Raises BadFile, NoRecords, NotUtf8, BadRow.
    """
    records = list(read_records(folder))
    cache = FactsCache(folder)
    try:
        facts = gather(folder, [r.file_name for r in records], cache, progress=progress)
    finally:
        cache.close()
    licences, classes, creators, origins, kinds, sizes, shapes = (Counter[str]() for _ in range(7))
    lengths: dict[str, list[int]] = {x: [] for x in LANGUAGES}
    for r in records:
        try:
            expression = parse(r.license)
            licences[expression.text] += 1
            classes.update(expression.choices[0].classes)
        except ValueError:
            licences[r.license or "–"] += 1
        creators[r.creator or "–"] += 1
        for language in LANGUAGES:
            lengths[language] += [len(c) for c in r.captions(language)]
            if r.captions(language):
                origins[f"{language}: {r.origin(language) or '–'}"] += 1
        f = facts[r.file_name]
        if f.error is None:
            kinds[f.kind] += 1
            sizes[_size_class(min(f.width, f.height))] += 1
            ratio = f.width / f.height
            shapes["landscape" if ratio > 1.1 else "portrait" if ratio < 1 / 1.1 else "square"] += 1
    return {
        "folder": str(folder),
        "pictures": len(records),
        "unreadable": sum(1 for f in facts.values() if f.error is not None),
        "bytes": sum(f.size for f in facts.values()),
        "licences": _most(licences),
        "classes": _most(classes),
        "creators": _most(creators),
        "creator_count": len(creators),
        "origins": _most(origins),
        "formats": _most(kinds),
        "short_side": _most(sizes),
        "shapes": _most(shapes),
        "captions": {
            x: {
                "pictures": sum(1 for r in records if r.captions(x)),
                "captions": len(n),
                "median_characters": int(median(n)) if n else 0,
                "longest": max(n, default=0),
            }
            for x, n in lengths.items()
        },
    }


def _size_class(side: int) -> str:
    for limit in (256, 512, 768, 1024, 2048):
        if side < limit:
            return f"< {limit}"
    return "≥ 2048"


def _most(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))[:_SHOWN])


def show(folder: Path, name: str | None, *, offset: int = 0, limit: int = 100) -> dict[str, Any]:
    """Records from ``offset`` on, or the one of a file with what is true of that file now.

    Raises:
        BadFile: no row for it, or no such folder. NoRecords, NotUtf8, BadRow
    """
    if name is None:
        rows: list[dict[str, Any]] = []
        total = 0
        for record in read_records(folder):
            if offset <= total < offset + limit:
                rows.append(to_row(record))
            total += 1
        return {"total": total, "offset": offset, "records": rows}
    wanted = Path(name).name if Path(name).is_absolute() else name.replace("\\", "/").removeprefix("./")
    match: Record | None = next((r for r in read_records(folder) if r.file_name == wanted), None)
    if match is None:
        raise BadFile(path=folder / wanted, why=Phrase("metadata.jsonl has no row for it"))
    path = FileLocator(folder).path(match.file_name)
    answer: dict[str, Any] = {
        "record": to_row(match),
        "attribution": entry(match).removeprefix("- "),
        "path": str(path),
    }
    try:
        with opened(path) as image:
            width, height = image.size
            if orientation(image) in (5, 6, 7, 8):
                width, height = height, width
            answer |= {"width": width, "height": height, "kind": (image.format or "").lower()}
        answer["sha256"] = sha256_of(path)
        answer["as_recorded"] = answer["sha256"] == match.sha256
    except (BadPicture, BadFile) as e:
        answer["problem"] = e.to_wire()
    return answer
