"""Verifies images in the background: files are collected in a thread, then verified by a process in chunks."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from commonart_desktop.core.picture_text import ENDINGS
from commonart_desktop.gui.background.tasks import Task
from engine.contract.errors import CommonArtError

PROGRAM = "engine.provenance"
WANTED = "verify/wanted"  # in context.state: an image that the Verify page checks when it is next shown
FIRST, CHUNK = 8, 200  # files per process: few at first, for quick results
LETTERS = 16_000  # characters of their paths: Windows allows 32,767 in a command line
MOST = 100_000  # most files that are collected at once


@dataclass(frozen=True)
class File:
    """A file to check; ``mtime`` (nanoseconds) and ``size`` show whether it has changed since."""

    path: str
    mtime: int = 0
    size: int = 0

    @property
    def stamp(self) -> tuple[str, int, int]:
        return self.path, self.mtime, self.size


@dataclass
class Gathered:
    """The collected files, and folders that contain LoRAs but no images."""

    files: list[File] = field(default_factory=list)
    loras: list[str] = field(default_factory=list)


def stamped(path: str) -> File:
    """The file as it is now; a missing one has no size."""
    try:
        stat = Path(path).stat()
    except (OSError, ValueError):
        return File(path)
    return File(path, stat.st_mtime_ns, stat.st_size)


def _is_there(path: str, *, folder: bool = False) -> bool:
    try:
        return Path(path).is_dir() if folder else Path(path).exists()
    except (OSError, ValueError):
        return False


def gather(given: Sequence[str], cancelled: Callable[[], bool]) -> Gathered:
    """The given files and the images in the given folders, each once. Links to folders are not followed."""
    found, seen = Gathered(), set()
    for one in given:
        path = os.path.normpath(Path(one).absolute())
        before, with_loras = len(found.files), False
        folder = _is_there(path, folder=True)
        for file in _within(path) if folder else [path]:
            if cancelled() or len(found.files) >= MOST:
                return found
            if file.endswith(".safetensors"):
                with_loras = True
            elif file not in seen:
                seen.add(file)
                found.files.append(stamped(file))
        if with_loras and len(found.files) == before:
            found.loras.append(path if folder else str(Path(path).parent))
    return found


def _within(folder: str) -> Iterator[str]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith((*ENDINGS, ".safetensors")) and not name.startswith("."):
                yield os.path.join(where, name)


def check(task: Task, files: Sequence[File], loras: Sequence[str]) -> list[dict[str, Any]]:
    """The reports of some files, in their order; a missing one is reported as unreadable, not as a failure of all.

    Raises:
        CommonArtError: the program failed.
    """
    options = [f"--loras={folder}" for folder in loras if _is_there(folder)]
    for last in (False, True):
        here = [f.path for f in files if _is_there(f.path)]
        try:
            answer = task.program(PROGRAM, ["verify", *options, "--", *here])["pictures"] if here else []
            break
        except CommonArtError:
            if last or all(_is_there(p) for p in here) or task.cancelled:
                raise  # else one was removed meanwhile
    by_path = {path: report | {"path": path} for path, report in zip(here, answer, strict=True)}  # in the given order
    return [by_path.get(f.path) or missing_report(f.path) for f in files]


def missing_report(path: str) -> dict[str, Any]:
    """The report of a missing file."""
    return {
        "path": path,
        "state": "unreadable",
        "why": {"template": "there is no such file", "fields": {}},
        "changed": [],
        "signer": None,
        "codes": [],
        "tool": "",
        "recipe": None,
        "recipe_signed": False,
        "prompt_hidden": False,
        "pixels": "unknown",
        "texts": {},
        "xmp": {},
        "training_mining": {},
        "ingredients": [],
        "chain": [],
        "intact": False,
    }


class Checker(QObject):
    """Checks files in the background.

    Emits ``gathered`` and ``found`` with results, ``progress`` (checked, all), and ``ended`` when nothing is left.
    """

    gathered = Signal(object)  # Gathered
    found = Signal(object)  # list of reports
    progress = Signal(int, int)
    ended = Signal(bool)  # whether all was checked: False after stop or a failure
    failed = Signal(object)  # CommonArtError

    def __init__(self, page: QObject, loras: Callable[[], Sequence[str]]) -> None:
        super().__init__(page)
        self._loras = loras
        self._gathering: list[Task] = []
        self._task: Task | None = None
        self._left: deque[File] = deque()
        self._chunk: list[File] = []
        self._done = 0

    @property
    def busy(self) -> bool:
        return bool(self._gathering or self._task)

    def gather(self, paths: Sequence[str]) -> None:
        """Collect the images there; the result is emitted by ``gathered``."""

        def done(found: Gathered) -> None:
            self._gathering.remove(task)
            self.gathered.emit(found)
            self._rest()

        def failed(error: CommonArtError) -> None:
            self._gathering.remove(task)
            self.failed.emit(error)
            self._rest()

        task = Task(self, lambda task: gather(paths, lambda: task.cancelled), done=done, failed=failed)
        self._gathering.append(task)

    def check(self, files: Sequence[File]) -> None:
        """Check these after those that are being checked."""
        self._left.extend(files)
        if self._task is None and self._left:
            self._done = 0
            self._next()

    def forget(self, paths: set[str]) -> None:
        """Do not check these any more."""
        self._left = deque(f for f in self._left if f.path not in paths)

    def stop(self) -> None:
        """Stop; results so far stay."""
        was = self.busy
        for task in (*self._gathering, *([self._task] if self._task else [])):
            task.cancel()
        self._gathering, self._task = [], None
        self._left.clear()
        if was:
            self.ended.emit(False)

    def _next(self) -> None:
        self._chunk, letters = [], 0
        while (
            self._left
            and len(self._chunk) < (CHUNK if self._done else FIRST)
            and (letters := letters + len(self._left[0].path) + 3) < LETTERS
        ):
            self._chunk.append(self._left.popleft())
        if not self._chunk and self._left:
            self._chunk = [
                self._left.popleft()
            ]  # a path longer than any system allows: it will be reported as unreadable
        if not self._chunk:
            self._task = None
            self._rest()
            return
        self._report_progress(0, 0)
        chunk, loras = self._chunk, list(self._loras())
        self._task = Task(
            self,
            lambda task: check(task, chunk, loras),
            done=self._on_found,
            failed=self._on_failed,
            progress=self._report_progress,
        )

    def _report_progress(self, done: int, _: int) -> None:
        self.progress.emit(self._done + done, self._done + len(self._chunk) + len(self._left))

    def _on_found(self, reports: list[dict[str, Any]]) -> None:
        self._done += len(reports)
        self.found.emit(reports)
        if self._task is not None:  # else a receiver of the signal stopped it
            self._next()

    def _on_failed(self, error: CommonArtError) -> None:
        self._task = None
        self._left.clear()
        self.failed.emit(error)
        self.ended.emit(False)

    def _rest(self) -> None:
        if not self.busy:
            self.ended.emit(True)


def named(path: str) -> str:
    """The file's name for display."""
    return Path(path).name or path
