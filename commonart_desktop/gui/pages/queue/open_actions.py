"""Opening images and folders of the queue, and copying prompts and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.background.tasks import TaskQueue
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.queue.table_model import LedgerModel
from engine.contract.errors import from_wire
from engine.contract.ledger.ledger import Job, Ledger, Line, Row

MAX_COPIED = 20_000  # lines of a selection


def read_lines(ledger: Ledger, jobs: list[int], spans: list[tuple[int, int, int]], state: str | None) -> list[Line]:
    """The rows of entire jobs and of spans (job, first, last). For a background thread."""
    part: list[Line] = []
    for job, first, last in [*((j, 0, ledger.job(j).total - 1) for j in jobs), *(s for s in spans if s[0] not in jobs)]:
        for offset in range(first, last + 1, 500):
            if len(part) >= MAX_COPIED:
                return part[:MAX_COPIED]
            part += ledger.lines(job, offset=offset, limit=min(500, last + 1 - offset), state=state)
    return part


def details_of(line: Line | Row) -> str:
    """An error as text for someone who is asked for help."""
    if line.error is None:
        return ""
    text, hint = sentence(from_wire(line.error))
    prompt, seed = (line.request.prompt, line.request.seed) if isinstance(line, Row) else (line.prompt, line.seed)
    return "\n".join(
        t
        for t in (
            text,
            hint,
            f"{line.error.get('kind')}: {line.error.get('message')}",
            f"#{line.id}  seed {seed}",
            prompt,
        )
        if t
    )


class OpenActions(QObject):
    """``selected`` returns the first selected item and how many there are, ``ranges`` the selected rows."""

    def __init__(
        self,
        context: Context,
        model: LedgerModel,
        work: TaskQueue,
        selected: Callable[[], tuple[Job | Line | None, int]],
        ranges: Callable[[], list[tuple[int, int]]],
    ) -> None:
        super().__init__(model)
        self._context, self._model, self._work, self._selected, self._ranges = context, model, work, selected, ranges

    def open_row(self, row: int) -> None:
        """Open an image in the system's default program."""
        item = self._model.line(row)
        if isinstance(item, Line) and item.path:
            self._show(Path(item.path))

    def open(self) -> None:
        """Open the selected image."""
        item, _ = self._selected()
        if isinstance(item, Line) and item.path:
            self._show(Path(item.path))

    def open_folder(self) -> None:
        """Open the folder where the selected image is, or will be."""
        item, _ = self._selected()
        if item is None:
            return
        image = (
            item.id
            if isinstance(item, Line)
            else next((one.id for one in self._model.ledger.lines(item.id, limit=1)), 0)
        )
        row = self._model.ledger.row(image)
        if row is not None:
            self._show(Path(row.path).parent if row.path else Path(row.request.out or self._context.out))

    def _show(self, path: Path) -> None:
        if path.exists():
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))
        else:
            self._context.notices.say(self.tr("{path} is not there any more.").format(path=path))

    def copy_prompts(self) -> None:
        """Copy each prompt of the selection once, one per line."""
        self._copy(lambda lines: "\n".join(dict.fromkeys(line.prompt for line in lines)))

    def copy_errors(self) -> None:
        """Copy the errors of the selected images."""
        self._copy(lambda lines: "\n\n".join(details_of(line) for line in lines if line.error is not None))

    def _copy(self, make: Callable[[list[Line]], str]) -> None:
        def put(text: str) -> None:
            if text:
                QGuiApplication.clipboard().setText(text)

        model, ranges = self._model, self._ranges()
        if model.searching or all(a == b for a, b in ranges):
            items = [model.line(n) for a, b in ranges for n in range(a, b + 1)]
            if not any(isinstance(i, Job) for i in items):
                put(make([i for i in items if isinstance(i, Line)]))
                return
        parts = [model.spans(a, b) for a, b in ranges]
        jobs, spans, state = (
            [j for part, _ in parts for j in part],
            [s for _, part in parts for s in part],
            model.state,
        )
        self._work.submit(lambda ledger: make(read_lines(ledger, jobs, spans, state)), done=put)
