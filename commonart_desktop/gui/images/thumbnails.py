"""Thumbnails: created in background threads, cached on disk and, those used last, in memory."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QIODevice, QObject, QSaveFile, Qt, QTimer, Signal
from PySide6.QtGui import QImage, QPixmap

from commonart_desktop.gui.background.tasks import TaskQueue
from commonart_desktop.gui.images.gallery_image import GalleryImage
from commonart_desktop.gui.images.reader import LoadedImage, read_image

THREADS = 2
SIDES = (256, 512)  # pixels of those on disk; the larger for high-density screens
MEMORY = 24 * 2**20  # bytes of pixmaps, or what three screenfuls need
DISK = 2 * 2**30  # about 100,000 images
GATHER = 12  # ms in which finished ones are collected, to be drawn together
SLICE = 0.006  # seconds of the GUI thread that finished ones may take at a time

Key = tuple[int, int, int]  # id, mtime, size of an image


def file_of(folder: Path, path: str, mtime: int, size: int, side: int) -> Path:
    """The path of a file's thumbnail in the cache."""
    key = hashlib.sha1(f"{path}\n{mtime}\n{size}".encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return folder / key[:2] / (f"{key}.thumb" if side == SIDES[0] else f"{key}-{side}.thumb")


def thumbnail(path: str, cached: Path, side: int, pixels: int) -> LoadedImage:
    """The image fitted into a square of ``pixels``.

    It comes from the cached thumbnail of ``side`` pixels, which is created if it is missing.
    """
    if cached.exists() and not (loaded := read_image(str(cached), pixels)).image.isNull():
        return loaded
    loaded = read_image(path, side)
    image = loaded.image
    if not image.isNull():
        cached.parent.mkdir(parents=True, exist_ok=True)
        file = QSaveFile(str(cached))
        if file.open(QIODevice.OpenModeFlag.WriteOnly) and image.save(
            file, "PNG" if image.hasAlphaChannel() else "JPEG", -1 if image.hasAlphaChannel() else 85
        ):
            file.commit()
    return loaded


def fitted(image: QImage, pixels: int) -> QImage:
    """At most as large as the tile, enlarged by a whole factor if it is very small, in a format that draws fast."""
    longest = max(image.width(), image.height())
    if longest > pixels:
        image = image.scaled(
            pixels, pixels, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
    elif (times := pixels // longest) > 1:
        image = image.scaled(
            image.size() * times, mode=Qt.TransformationMode.SmoothTransformation
        )  # the bundled model's 64 px
    return image.convertToFormat(
        QImage.Format.Format_ARGB32_Premultiplied if image.hasAlphaChannel() else QImage.Format.Format_RGB32
    )


def prune(folder: Path, limit: int = DISK) -> int:
    """Delete the oldest half if the folder has grown past ``limit`` bytes. Returns how many files were deleted."""
    existing = []
    for number, p in enumerate(folder.glob("*/*")):
        try:
            stat = p.stat()
        except OSError:
            continue
        existing.append((stat.st_mtime, stat.st_size, p))
        if number % 50 == 49:
            time.sleep(0.001)  # yield to the GUI thread
    total, count = sum(f[1] for f in existing), 0
    if total <= limit:
        return 0
    for _, size, p in sorted(existing):
        if total <= limit // 2:
            break
        p.unlink(missing_ok=True)
        total -= size
        count += 1
    return count


class Thumbnails(QObject):
    """``want`` sets what is needed now, ``peek`` returns what is in memory.

    ``ready`` is emitted with the ids that have come.
    """

    ready = Signal(object)  # list of image ids
    _some = Signal()  # from a thread: there are results to take

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._queue = TaskQueue(self, "thumbnails", threads=THREADS)
        self._lock = threading.Lock()
        self._requested: deque[tuple[Key, str]] = deque()
        self._in_progress: set[Key] = set()
        self._running = 0
        self._results: deque[tuple[Key, QImage, LoadedImage, int]] = deque()
        self._pixmaps: OrderedDict[Key, tuple[QPixmap, int]] = (
            OrderedDict()
        )  # and the size in pixels it was created for
        self._bytes = 0
        self._budget = MEMORY
        self._pixels, self._ratio = SIDES[0], 1.0
        self.broken: dict[Key, LoadedImage] = {}
        self._stopped = False
        self._later = QTimer(self, singleShot=True, interval=GATHER)
        self._later.timeout.connect(self._take)
        self._some.connect(self._later.start)
        self._queue.submit(prune, folder)

    @staticmethod
    def key(image: GalleryImage) -> Key:
        return image.id, image.mtime, image.size

    def set_side(self, side: int, ratio: float = 1.0) -> None:
        """Set the size of the tiles, in device-independent pixels of ``ratio`` screen pixels each."""
        self._pixels, self._ratio = round(side * ratio), ratio

    def peek(self, image: GalleryImage) -> QPixmap | None:
        """The thumbnail if it is in memory; perhaps one of another size."""
        return self._pixmaps.get(self.key(image), (None, 0))[0]

    def why_broken(self, image: GalleryImage) -> LoadedImage | None:
        """The result of reading an image that cannot be shown; None for all others."""
        return self.broken.get(self.key(image)) if self.broken else None

    def request(self, images: Sequence[GalleryImage], visible: int) -> None:
        """Create these, in this order, and drop earlier requests that have not begun.

        The first ``visible`` are on screen.
        """
        if self._stopped:
            return
        one = self._pixels * self._pixels * 4
        self._budget = max(MEMORY, 3 * visible * one)
        missing = []
        for image in images[: max(visible, self._budget // one)]:
            key = self.key(image)
            existing = self._pixmaps.get(key)
            if existing is not None:
                self._pixmaps.move_to_end(key)
            if (existing is None or existing[1] != self._pixels) and key not in self.broken:
                missing.append((key, image.path))
        with self._lock:
            self._requested = deque(m for m in missing if m[0] not in self._in_progress)
            more = min(len(self._requested), THREADS - self._running)
            self._running += more
        for _ in range(more):
            self._queue.submit(self._work)

    @property
    def waiting(self) -> int:
        """How many are requested and not there yet."""
        with self._lock:
            return len(self._requested) + len(self._in_progress) + len(self._results)

    @property
    def memory(self) -> int:
        """Bytes of the pixmaps in memory."""
        return self._bytes

    def stop(self) -> None:
        """End the threads and wait for them; may be called twice."""
        if not self._stopped:
            self._stopped = True
            with self._lock:
                self._requested.clear()
            self._queue.stop()

    def _work(self) -> None:
        """Runs in a thread until nothing is wanted."""
        while True:
            with self._lock:
                if self._stopped or not self._requested:
                    self._running -= 1
                    return
                key, path = self._requested.popleft()
                self._in_progress.add(key)
                pixels = self._pixels
            side = SIDES[pixels > SIDES[0]]
            try:
                loaded = thumbnail(path, file_of(self._folder, path, key[1], key[2], side), side, pixels)
            except OSError:
                loaded = read_image(path, pixels)  # the cache cannot be written: go on without it
            image = loaded.image if loaded.image.isNull() else fitted(loaded.image, pixels)
            with self._lock:
                self._results.append((key, image, loaded, pixels))
                first = len(self._results) == 1
            if first and not self._stopped:
                self._some.emit()

    def _take(self) -> None:
        """Move results into memory, a few at a time."""
        end = time.perf_counter() + SLICE
        ids: list[int] = []
        more = True
        while more and (not ids or time.perf_counter() < end):
            with self._lock:
                if not self._results:
                    break
                key, image, loaded, pixels = self._results.popleft()
                self._in_progress.discard(key)
                more = bool(self._results)
            self._store(key, image, loaded, pixels)
            ids.append(key[0])
        if ids and not self._stopped:
            self.ready.emit(ids)
        if more and ids:
            self._later.start()

    def _store(self, key: Key, image: QImage, loaded: LoadedImage, pixels: int) -> None:
        if image.isNull():
            self.broken[key] = loaded
            return
        old = self._pixmaps.pop(key, None)
        self._bytes -= _cost(old[0]) if old else 0
        pixmap = QPixmap.fromImage(image)
        pixmap.setDevicePixelRatio(self._ratio)
        self._pixmaps[key] = (pixmap, pixels)
        self._bytes += _cost(pixmap)
        while self._bytes > self._budget and len(self._pixmaps) > 1:
            self._bytes -= _cost(self._pixmaps.popitem(last=False)[1][0])


def _cost(pixmap: QPixmap) -> int:
    return pixmap.width() * pixmap.height() * 4
