"""What the Training page asks of the dataset's programs, in a thread."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from commonart_desktop.gui.background.tasks import Task
from engine.contract.errors import CommonArtError

PROGRAM = "trainer.dataset"
MOST = 200_000  # records held in the window


def has_records(folder: str) -> bool:
    return (Path(folder) / "metadata.jsonl").is_file()


def read_folder(task: Task, folder: str) -> dict[str, Any]:
    """``{"records": {file_name: row}, "total": n}`` of a dataset folder, or ``{"bare": True}`` for one that is none yet.

    Raises:
        CommonArtError: what keeps it from being read at all; a row that cannot be read is left to the check.
    """
    if not has_records(folder):
        return {"bare": True}
    try:
        answer = task.program(PROGRAM, ["show", f"--limit={MOST}", "--", folder])
    except CommonArtError as e:
        if e.kind != "bad-row":
            raise
        return {"bare": False, "records": {}, "total": 0}
    return {"bare": False, "records": {row["file_name"]: row for row in answer["records"]}, "total": answer["total"]}


def check_folder(task: Task, folder: str, policy: str) -> dict[str, Any]:
    """The gate's answer. Its report and the attribution go into a temporary folder: looking at a dataset leaves it as it is."""
    with tempfile.TemporaryDirectory(prefix="commonart-") as out:
        return task.program(PROGRAM, ["check", f"--policy={policy}", f"--out={out}", "--", folder])


def edit_folder(task: Task, folder: str, changes: list[dict[str, Any]]) -> dict[str, Any]:
    """Make the changes."""
    handle, name = tempfile.mkstemp(prefix="commonart-", suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as f:
            json.dump(changes, f, ensure_ascii=True)
        return task.program(PROGRAM, ["edit", f"--changes={name}", "--", folder])
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink()
