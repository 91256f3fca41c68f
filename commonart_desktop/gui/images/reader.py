"""Reads an image file within bounds: the only place in the window that opens one.

For background threads: whatever is slow here releases Python's lock, so the window stays responsive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PySide6.QtCore import QFileInfo, QSize, Qt
from PySide6.QtGui import QImage, QImageIOHandler, QImageReader

FORMATS = (b"png", b"jpeg", b"webp")
ALLOCATION = 512 * 2**20  # bytes that the pixels of one file may take; no file is larger than that either
LARGEST = 256 * 2**20  # bytes, at 4 a pixel, of an image that is kept at full size
PROCESS = 2048  # MiB at 4 bytes a pixel: the allocation limit of Qt, which counts 32 bits also where there are fewer
SMOOTHED = 1024  # pixels a side up to which an image larger than LARGEST is smoothed as it is scaled down
PROGRESSIVE = 6  # bytes a pixel that libjpeg needs for a progressive JPEG: 16 bits for each of three coefficients

Box = int | Callable[[QSize], int] | None  # pixels a side of a square to fit into, perhaps by the size of the image


@dataclass(frozen=True)
class LoadedImage:
    """The result.

    ``image`` is null where the file cannot be read or would take more than ALLOCATION (``too_large``).
    """

    image: QImage = field(default_factory=QImage)
    size: QSize = field(default_factory=QSize)  # in the file, as it is shown; not valid where that cannot be read
    too_large: bool = False

    @property
    def full_size(self) -> bool:
        """Whether the image was not scaled down."""
        return not self.image.isNull() and self.image.size() == self.size


def kept_full(size: QSize) -> bool:
    """Whether an image of this size may be kept at its full size."""
    return size.width() * size.height() * 4 <= LARGEST


def read_image(path: str, box: Box = None) -> LoadedImage:
    """Read a PNG, JPEG or WebP file, recognized by its content whatever its name is.

    ``box`` scales the image down, inside the reader: ``QImage.scaled`` of an
    image at full size would hold Python's lock.
    """
    info = QFileInfo(path)
    if not info.isFile() or info.size() > ALLOCATION:  # a pipe would never end, and the WebP reader reads all of a file
        return LoadedImage(too_large=info.isFile())
    QImageReader.setAllocationLimit(PROCESS)  # of the process; ALLOCATION is checked here
    reader = QImageReader(path)
    reader.setAutoDetectImageFormat(True)
    reader.setDecideFormatFromContent(True)
    reader.setAutoTransform(True)
    if bytes(reader.format().data()) not in FORMATS:  # an SVG with another suffix could ask for much
        return LoadedImage()
    size = reader.size()
    rotated = reader.transformation() & QImageIOHandler.Transformation.TransformationRotate90
    shown = size.transposed() if rotated else size
    image, too_large = _read(reader, size, box(shown) if callable(box) else box)
    return LoadedImage(image, shown if shown.isValid() else image.size(), too_large)


def _read(reader: QImageReader, size: QSize, box: int | None) -> tuple[QImage, bool]:
    """The image and whether it is too large to be read."""
    jpeg = bytes(reader.format().data()) == b"jpeg"
    if jpeg and size.width() * size.height() * PROGRESSIVE > ALLOCATION and _progressive(reader.fileName()):
        return QImage(), True
    if box and size.isValid() and max(size.width(), size.height()) > box:
        small = size.scaled(QSize(box, box), Qt.AspectRatioMode.KeepAspectRatio).expandedTo(QSize(1, 1))
        if jpeg:  # needs little memory: it is scaled as it is read
            reader.setScaledSize(small)
            return reader.read(), False
        if not _fits(reader, size):
            return QImage(), True
        if not kept_full(size):  # the reader would first convert each pixel to 32 bits
            return _scaled(reader.read(), small), False
        reader.setScaledSize(small)
    return (reader.read(), False) if _fits(reader, size) else (QImage(), True)


def _fits(reader: QImageReader, size: QSize) -> bool:
    """Whether the image, in the pixel format of the file, fits into ALLOCATION."""
    kind = reader.imageFormat()
    depth = QImage.toPixelFormat(kind).bitsPerPixel() if kind != QImage.Format.Format_Invalid else 32
    pixels = size.width() * size.height()
    return not size.isValid() or (pixels * depth // 8 <= ALLOCATION and pixels * 4 <= PROCESS * 2**20)


def _progressive(path: str) -> bool:
    """Whether a JPEG is coded progressively, by its first frame header (ITU-T T.81, B.2.2)."""
    with Path(path).open("rb") as file:
        file.seek(2)
        while len(head := file.read(4)) == 4 and head[0] == 0xFF:
            marker, length = head[1], int.from_bytes(head[2:], "big")
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                return marker in (0xC2, 0xC6, 0xCA, 0xCE)
            if marker == 0xFF:  # a fill byte
                file.seek(-3, 1)
            else:
                file.seek(length - 2, 1)
    return True  # no frame header where it should be: assume the worst


def _scaled(image: QImage, size: QSize) -> QImage:
    """Scaled down with little memory besides the image itself: sampled in its own pixel format, then smoothed."""
    if image.isNull():
        return image
    samples = 4 if max(size.width(), size.height()) <= SMOOTHED else 1
    some = image.scaled(size * samples, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.FastTransformation)
    return some.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation)
