"""Slow operations on images, for background threads: to the recycle bin and back, and variations."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QFile

from commonart_desktop.core.compose import ready_folder
from engine.contract.ledger.ledger import Ledger
from engine.contract.recipe import request_of

VARIATIONS = 4


@dataclasses.dataclass(frozen=True)
class TrashedFiles:
    """``went``: (path, where it is now or empty).

    ``gone``: no longer there before; ``kept``: (path, why it was not moved).
    """

    moved: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


def move_to_trash(paths: Sequence[str]) -> TrashedFiles:
    """Move files to the recycle bin. Where there is none they stay: nothing is ever deleted for good."""
    moved, missing, failed = [], [], []
    for path in paths:
        file = QFile(path)
        if not file.exists():
            missing.append(path)
        elif file.moveToTrash():
            now = file.fileName()
            moved.append((path, now if now != path and Path(now).is_file() else ""))
        else:
            failed.append((path, file.errorString()))
    return TrashedFiles(tuple(moved), tuple(missing), tuple(failed))


def restore_from_trash(moved: Sequence[tuple[str, str]]) -> list[str]:
    """Move files back without overwriting any; returns the paths of those that were restored."""
    restored = []
    for path, now in moved:
        if now and not Path(path).exists() and QFile(now).rename(path):
            restored.append(path)
            trash = Path(now)
            (trash.parent.parent / "info" / f"{trash.name}.trashinfo").unlink(
                missing_ok=True
            )  # the file in which Linux notes its original path
    return restored


def add_variations(ledger: Ledger, recipe: dict[str, Any], *, name: str, model: str, out: Path) -> bool:
    """Queue the same settings with other seeds. Returns whether rows of a dead worker must be resumed first.

    A recipe names its model without a path; the ``model`` of the settings is used if it is a folder of that name.

    Raises:
        BadValue, OutputFolder, LedgerError
    """
    request = request_of(recipe)
    if Path(model).name == request.model:
        request = dataclasses.replace(request, model=model)
    folder = str(ready_folder(out))
    ledger.add_job(
        name, [dataclasses.replace(request, seed=secrets.randbelow(2**32), out=folder) for _ in range(VARIATIONS)]
    )
    return bool(ledger.stranded())
