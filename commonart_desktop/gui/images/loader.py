"""Loads image files for widgets, in a background thread."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject

from commonart_desktop.gui.background.tasks import TaskQueue
from commonart_desktop.gui.images.reader import Box, LoadedImage, read_image


class ImageLoader(TaskQueue):
    """Reads images for ``owner`` in order; a function of the caller that reads images is passed to ``submit``."""

    def __init__(self, owner: QObject, *, threads: int = 1) -> None:
        super().__init__(owner, "images", threads=threads)

    def load(self, path: str, done: Callable[[LoadedImage], None], *, box: Box = None, first: bool = False) -> None:
        """Read ``path``, scaled down into a square of ``box`` pixels, then call ``done``, with a null image on failure.

        ``first``: before all that are waiting.
        """
        self.submit(read_image, path, box, done=done, failed=lambda _: done(LoadedImage()), first=first)

    def replace(self, path: str, done: Callable[[LoadedImage], None], *, box: Box = None) -> None:
        """``load`` in place of everything that was asked for before."""
        self.clear()
        self.load(path, done, box=box)
