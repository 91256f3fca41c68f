"""Small pictures for the gallery: made off the window's thread, kept on disk and, the last used, in memory."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict, deque
from pathlib import Path

from PySide6.QtCore import QIODevice, QObject, QRunnable, QSaveFile, QSize, Qt, QThreadPool, Signal
from PySide6.QtGui import QImage, QImageReader, QPixmap
from shiboken6 import isValid

from commonart_desktop.gui.gallery_index import Picture

SIDE = 256
FORMATS = (b"png", b"jpeg", b"webp")
MEMORY = 256 * 2**20  # bytes of pixmaps
DISK = 1024 * 2**20
ALLOCATION = 512  # MiB that one file may ask for


def read_image(path: str, box: int | None = None) -> QImage:
    """A PNG, JPEG or WebP by what it holds, whatever it is called; null if it cannot be read. ``box`` scales it down into a square."""
    QImageReader.setAllocationLimit(ALLOCATION)
    reader = QImageReader(path)
    reader.setAutoDetectImageFormat(True)
    reader.setDecideFormatFromContent(True)
    reader.setAutoTransform(True)
    if bytes(reader.format().data()) not in FORMATS:  # an SVG by another name could ask for much
        return QImage()
    size = reader.size()
    if box and size.isValid() and max(size.width(), size.height()) > box:
        reader.setScaledSize(size.scaled(QSize(box, box), Qt.AspectRatioMode.KeepAspectRatio).expandedTo(QSize(1, 1)))
    return reader.read()


def key_of(picture: Picture) -> str:
    return hashlib.sha1(f"{picture.path}\n{picture.mtime}\n{picture.size}".encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def thumbnail(path: str, kept: Path) -> QImage:
    """From the disk, else made and put there."""
    image = read_image(str(kept)) if kept.exists() else QImage()
    if not image.isNull():
        return image
    image = read_image(path, SIDE)
    if not image.isNull():
        kept.parent.mkdir(parents=True, exist_ok=True)
        file = QSaveFile(str(kept))
        if file.open(QIODevice.OpenModeFlag.WriteOnly) and image.save(file, "PNG" if image.hasAlphaChannel() else "JPEG", -1 if image.hasAlphaChannel() else 90):
            file.commit()
    return image


def _cost(pixmap: QPixmap) -> int:
    return pixmap.width() * pixmap.height() * 4


def prune(folder: Path, limit: int = DISK) -> int:
    """Delete the oldest half if the folder has grown past the limit. Returns how many files went."""
    found = []
    for p in folder.glob("*/*"):
        try:
            stat = p.stat()
        except OSError:
            continue
        found.append((stat.st_mtime, stat.st_size, p))
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
    """Ask with ``get`` while drawing; ``ready`` says when to draw again."""

    ready = Signal(str)  # path
    _made = Signal(str, str, QImage, int)  # (key, path, image, side), from a thread

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._pool = QThreadPool()
        self._pool.setMaxThreadCount(2)
        self._wanted: deque[tuple[str, str]] = deque()
        self._asked: set[str] = set()
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[QPixmap, int]] = OrderedDict()  # and the side it was made for
        self.side = SIDE  # pixels of a tile: scaled here, in the threads, not at every drawing
        self._bytes = 0
        self.broken: set[str] = set()  # keys
        self._stopped = False
        self._made.connect(self._on_made)
        self._pool.start(lambda: prune(folder) and None)

    def get(self, picture: Picture) -> QPixmap | None:
        """The small picture, or None: it is then on its way, or broken."""
        key = key_of(picture)
        found, side = self._kept.get(key, (None, 0))
        if found is not None:
            self._kept.move_to_end(key)
        if side != self.side and key not in self.broken and not self._stopped:
            with self._lock:
                if key in self._asked:
                    return found
                self._asked.add(key)
                self._wanted.append((key, picture.path))
            self._pool.start(_Make(self))
        return found  # of another size until it is made anew

    def is_broken(self, picture: Picture) -> bool:
        return bool(self.broken) and key_of(picture) in self.broken

    def forget_wanted(self) -> None:
        """Nothing asked for and not begun is needed any more: the view has moved, and asks anew for what is in sight."""
        if self._stopped and not self._wanted:
            return
        with self._lock:
            self._asked -= {key for key, _ in self._wanted}
            self._wanted.clear()
        self._pool.clear()

    @property
    def waiting(self) -> int:
        with self._lock:
            return len(self._wanted)

    @property
    def memory(self) -> int:
        """Bytes of the pixmaps held."""
        return self._bytes

    def stop(self) -> None:
        """End the threads and wait; safe to call twice."""
        if not self._stopped:
            self._stopped = True
            if isValid(self._pool):  # at the program's end Qt may have been first
                self.forget_wanted()
                self._pool.waitForDone()

    def _work(self) -> None:
        with self._lock:
            if not self._wanted or self._stopped:
                return
            key, path = self._wanted.popleft()
            side = self.side
        try:
            image = thumbnail(path, self._folder / key[:2] / f"{key}.thumb")
        except OSError:
            image = read_image(path, SIDE)  # the cache cannot be written: do without
        if not image.isNull() and max(image.width(), image.height()) > side:
            image = image.scaled(side, side, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
        elif not image.isNull() and (times := side // max(image.width(), image.height())) > 1:
            image = image.scaled(image.size() * times, mode=Qt.TransformationMode.SmoothTransformation)  # the bundled model's 64 px
        if not image.isNull():
            image = image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied if image.hasAlphaChannel() else QImage.Format.Format_RGB32)
        if not self._stopped:
            self._made.emit(key, path, image, side)

    def _on_made(self, key: str, path: str, image: QImage, side: int) -> None:
        with self._lock:
            self._asked.discard(key)
        if image.isNull():
            self.broken.add(key)
        else:
            old, _ = self._kept.pop(key, (QPixmap(), 0))
            pixmap = QPixmap.fromImage(image)
            self._kept[key] = (pixmap, side)
            self._bytes += _cost(pixmap) - _cost(old)
            while self._bytes > MEMORY and len(self._kept) > 1:
                self._bytes -= _cost(self._kept.popitem(last=False)[1][0])
        self.ready.emit(path)


class _Make(QRunnable):
    """One turn of work: it takes the oldest of what is wanted now."""

    def __init__(self, owner: Thumbnails) -> None:
        super().__init__()
        self._owner = owner

    def run(self) -> None:
        self._owner._work()
