"""The images of expanded jobs, read page by page as they are shown, with the texts of their cells."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from commonart_desktop.gui.pages.queue.labels import QueueLabels, RowLabels
from engine.contract.errors import CommonArtError
from engine.contract.ledger.ledger import Ledger, Line

PAGE, PAGES = 64, 60  # rows read at once; pages kept


class Page:
    """Consecutive lines; their cells are created when they are first drawn."""

    __slots__ = ("cells", "lines", "stale")

    def __init__(self, lines: list[Line], old: Page | None) -> None:
        self.lines, self.stale = lines, False
        self.cells: list[RowLabels | None] = [None] * len(lines)
        if old is not None:
            for n, (was, now) in enumerate(zip(old.lines, lines, strict=False)):
                if was == now:
                    self.cells[n] = old.cells[n]


class PageCache:
    """``state`` limits every job to its images in that state."""

    def __init__(self, ledger: Ledger, labels: QueueLabels) -> None:
        self._ledger, self._labels = ledger, labels
        self._pages: OrderedDict[tuple[int, int], Page] = OrderedDict()
        self.state: str | None = None

    def __len__(self) -> int:
        return len(self._pages)

    def _page(self, job: int, number: int) -> Page:
        key = (job, number)
        page = self._pages.get(key)
        if page is None or page.stale:
            try:
                lines = self._ledger.lines(job, offset=number * PAGE, limit=PAGE, state=self.state)
            except CommonArtError:
                lines = []  # the job was removed; the next poll of the ledger removes its rows
            page = self._pages[key] = Page(lines, page)
            if len(self._pages) > PAGES:
                self._pages.popitem(last=False)
        self._pages.move_to_end(key)
        return page

    def line(self, job: int, offset: int) -> Line | None:
        """An image by its position in its job; None if the ledger no longer has it."""
        number, within = divmod(offset, PAGE)
        lines = self._page(job, number).lines
        return lines[within] if within < len(lines) else None

    def cells(self, job: int, offset: int) -> RowLabels | None:
        """The texts of its row."""
        number, within = divmod(offset, PAGE)
        page = self._page(job, number)
        if within >= len(page.cells):
            return None
        cells = page.cells[within]
        if cells is None:
            cells = page.cells[within] = self._labels.image(page.lines[within])
        return cells

    def cached_id(self, job: int, offset: int) -> int | None:
        """The id of the image at this position when it was last read; does not read."""
        page = self._pages.get((job, offset // PAGE))
        return page.lines[offset % PAGE].id if page is not None and offset % PAGE < len(page.lines) else None

    def find(self, image: int) -> Iterator[tuple[int, int]]:
        """(job, offset) of an image if it is cached; the texts of its row are dropped."""
        for (job, number), page in self._pages.items():
            if page.lines and page.lines[0].id <= image <= page.lines[-1].id:
                for n, line in enumerate(page.lines):
                    if line.id == image:
                        page.cells[n] = None
                        yield job, number * PAGE + n

    def mark_stale(self) -> None:
        """The ledger has changed: every page is read again when it is next shown."""
        for page in self._pages.values():
            page.stale = True

    def clear(self) -> None:
        self._pages.clear()
