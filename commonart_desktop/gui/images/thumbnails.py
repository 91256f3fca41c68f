"""Small pictures for the gallery: made off the window's thread, kept on disk and, the last used, in memory."""

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
from commonart_desktop.gui.images.picture import Picture
from commonart_desktop.gui.images.reader import LoadedImage, read_image

THREADS = 2
SIDES = (256, 512)  # pixels of those on disk: the larger for screens with fine pixels
MEMORY = 24 * 2**20  # bytes of pixmaps, or what three screens full need
DISK = 2 * 2**30  # about 100,000 pictures
GATHER = 12  # milliseconds in which they are gathered, to be drawn together
SLICE = 0.006  # seconds at a time that finished ones may take of the window's thread

Key = tuple[int, int, int]  # id, mtime, size of a picture


def file_of(folder: Path, path: str, mtime: int, size: int, side: int) -> Path:
    """Where the small one of a file lies."""
    key = hashlib.sha1(f"{path}\n{mtime}\n{size}".encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return folder / key[:2] / (f"{key}.thumb" if side == SIDES[0] else f"{key}-{side}.thumb")


def thumbnail(path: str, cached: Path, side: int, pixels: int) -> LoadedImage:
    """Into a square of ``pixels``, from the thumbnail of ``side`` pixels in the cache, which is created if it is missing."""
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
    """No larger than the tile; a very small one a whole number of times as large; in a format that draws fast."""
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
    """Delete the oldest half if the folder has grown past the limit. Returns how many files went."""
    found = []
    for number, p in enumerate(folder.glob("*/*")):
        try:
            stat = p.stat()
        except OSError:
            continue
        found.append((stat.st_mtime, stat.st_size, p))
        if number % 50 == 49:
            time.sleep(0.001)  # let the window breathe
    total, count = sum(f[1] for f in found), 0
    if total <= limit:
        return 0
    for _, size, p in sorted(found):
        if total <= limit // 2:
            break
        p.unlink(missing_ok=True)
        total -= size
        count += 1
    return count


class Thumbnails(QObject):
    """``want`` says what is needed now, ``peek`` gives what is there; ``ready`` tells the ids that have come."""

    ready = Signal(object)  # list of picture ids
    _some = Signal()  # from a thread: there is something to take

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._queue = TaskQueue(self, "thumbnails", threads=THREADS)
        self._lock = threading.Lock()
        self._wanted: deque[tuple[Key, str]] = deque()
        self._begun: set[Key] = set()
        self._running = 0
        self._made: deque[tuple[Key, QImage, LoadedImage, int]] = deque()
        self._kept: OrderedDict[Key, tuple[QPixmap, int]] = OrderedDict()  # and the pixels it was made for
        self._bytes = 0
        self._room = MEMORY
        self._pixels, self._ratio = SIDES[0], 1.0
        self.broken: dict[Key, LoadedImage] = {}
        self._stopped = False
        self._later = QTimer(self, singleShot=True, interval=GATHER)
        self._later.timeout.connect(self._take)
        self._some.connect(self._later.start)
        self._queue.submit(prune, folder)

    @staticmethod
    def key(picture: Picture) -> Key:
        return picture.id, picture.mtime, picture.size

    def set_side(self, side: int, ratio: float = 1.0) -> None:
        """How large the tiles are, in the window's pixels, of ``ratio`` screen pixels each."""
        self._pixels, self._ratio = round(side * ratio), ratio

    def peek(self, picture: Picture) -> QPixmap | None:
        """The small picture if it is at hand; perhaps one of another size."""
        return self._kept.get(self.key(picture), (None, 0))[0]

    def why_broken(self, picture: Picture) -> LoadedImage | None:
        """What came of reading an image that cannot be shown; None for all others."""
        return self.broken.get(self.key(picture)) if self.broken else None

    def want(self, pictures: Sequence[Picture], visible: int) -> None:
        """Make these, in this order, and nothing else that was asked for and not begun. The first ``visible`` are in sight."""
        if self._stopped:
            return
        one = self._pixels * self._pixels * 4
        self._room = max(MEMORY, 3 * visible * one)
        missing = []
        for picture in pictures[: max(visible, self._room // one)]:
            key = self.key(picture)
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            if (found is None or found[1] != self._pixels) and key not in self.broken:
                missing.append((key, picture.path))
        with self._lock:
            self._wanted = deque(m for m in missing if m[0] not in self._begun)
            more = min(len(self._wanted), THREADS - self._running)
            self._running += more
        for _ in range(more):
            self._queue.submit(self._work)

    @property
    def waiting(self) -> int:
        """How many are asked for and not there yet."""
        with self._lock:
            return len(self._wanted) + len(self._begun) + len(self._made)

    @property
    def memory(self) -> int:
        """Bytes of the pixmaps held."""
        return self._bytes

    def stop(self) -> None:
        """End the threads and wait; safe to call twice."""
        if not self._stopped:
            self._stopped = True
            with self._lock:
                self._wanted.clear()
            self._queue.stop()

    def _work(self) -> None:
        """In a thread, until nothing is wanted."""
        while True:
            with self._lock:
                if self._stopped or not self._wanted:
                    self._running -= 1
                    return
                key, path = self._wanted.popleft()
                self._begun.add(key)
                pixels = self._pixels
            side = SIDES[pixels > SIDES[0]]
            try:
                loaded = thumbnail(path, file_of(self._folder, path, key[1], key[2], side), side, pixels)
            except OSError:
                loaded = read_image(path, pixels)  # the cache cannot be written: do without
            image = loaded.image if loaded.image.isNull() else fitted(loaded.image, pixels)
            with self._lock:
                self._made.append((key, image, loaded, pixels))
                first = len(self._made) == 1
            if first and not self._stopped:
                self._some.emit()

    def _take(self) -> None:
        """Put what was made at hand, a little at a time."""
        end = time.perf_counter() + SLICE
        came: list[int] = []
        more = True
        while more and (not came or time.perf_counter() < end):
            with self._lock:
                if not self._made:
                    break
                key, image, loaded, pixels = self._made.popleft()
                self._begun.discard(key)
                more = bool(self._made)
            self._keep(key, image, loaded, pixels)
            came.append(key[0])
        if came and not self._stopped:
            self.ready.emit(came)
        if more and came:
            self._later.start()

    def _keep(self, key: Key, image: QImage, loaded: LoadedImage, pixels: int) -> None:
        if image.isNull():
            self.broken[key] = loaded
            return
        old = self._kept.pop(key, None)
        self._bytes -= _cost(old[0]) if old else 0
        pixmap = QPixmap.fromImage(image)
        pixmap.setDevicePixelRatio(self._ratio)
        self._kept[key] = (pixmap, pixels)
        self._bytes += _cost(pixmap)
        while self._bytes > self._room and len(self._kept) > 1:
            self._bytes -= _cost(self._kept.popitem(last=False)[1][0])


def _cost(pixmap: QPixmap) -> int:
    return pixmap.width() * pixmap.height() * 4
