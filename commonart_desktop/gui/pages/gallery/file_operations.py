"""What is done to pictures off the window's thread: the recycle bin and back, and more like this one."""

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
    """``went``: (path, where it is now or empty); ``gone``: no longer there when asked; ``kept``: (path, why it could not be moved)."""

    went: tuple[tuple[str, str], ...] = ()
    gone: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()


def move_to_trash(paths: Sequence[str]) -> TrashedFiles:
    """Move files to the recycle bin. Where there is none they stay where they are: nothing is ever deleted past undoing."""
    went, gone, kept = [], [], []
    for path in paths:
        file = QFile(path)
        if not file.exists():
            gone.append(path)
        elif file.moveToTrash():
            now = file.fileName()
            went.append((path, now if now != path and Path(now).is_file() else ""))
        else:
            kept.append((path, file.errorString()))
    return TrashedFiles(tuple(went), tuple(gone), tuple(kept))


def restore_from_trash(went: Sequence[tuple[str, str]]) -> list[str]:
    """Bring files back to where they were, over nothing; the paths of those that came."""
    came = []
    for path, now in went:
        if now and not Path(path).exists() and QFile(now).rename(path):
            came.append(path)
            trash = Path(now)
            (trash.parent.parent / "info" / f"{trash.name}.trashinfo").unlink(
                missing_ok=True
            )  # Linux's note of where it was
    return came


def add_variations(ledger: Ledger, recipe: dict[str, Any], *, name: str, model: str, out: Path) -> bool:
    """Queue the same settings with other seeds. Returns whether rows of a dead worker wait to be brought home first.

    A recipe names its model without a place; ``model`` by the settings stands in if it is a folder of that name.

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
