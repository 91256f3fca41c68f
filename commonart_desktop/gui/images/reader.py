"""Picture files to images, within bounds. For threads: what is slow here leaves Python's lock alone, so the window goes on."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QImage, QImageIOHandler, QImageReader

FORMATS = (b"png", b"jpeg", b"webp")
ALLOCATION = 512 * 2**20  # bytes that one file may ask for
WHOLE = 256 * 2**20  # bytes of a picture that is held as it is; a larger one is scaled down
SAMPLED = 1024  # pixels up to which such a one is smoothed


def open_reader(path: str) -> QImageReader | None:
    """For a PNG, JPEG or WebP by what it holds, whatever it is called; None for all else."""
    QImageReader.setAllocationLimit(
        2048
    )  # MiB; Qt counts 32 bits a pixel also where there are fewer, so ALLOCATION is checked here
    reader = QImageReader(path)
    reader.setAutoDetectImageFormat(True)
    reader.setDecideFormatFromContent(True)
    reader.setAutoTransform(True)
    return reader if bytes(reader.format().data()) in FORMATS else None  # an SVG by another name could ask for much


def size_of(path: str) -> QSize:
    """Width and height by the file's head, as it is shown; not valid if it has none."""
    reader = open_reader(path)
    if reader is None:
        return QSize()
    return (
        reader.size().transposed()
        if reader.transformation() & QImageIOHandler.Transformation.TransformationRotate90
        else reader.size()
    )


def read_image(path: str, box: int | None = None) -> QImage:
    """The picture, or null if it cannot be read or asks for more than ALLOCATION.

    ``box`` scales it down into a square, inside the reader: ``QImage.scaled`` of a whole picture would hold Python's lock.
    """
    reader = open_reader(path)
    if reader is None:
        return QImage()
    size = reader.size()
    if box and size.isValid() and max(size.width(), size.height()) > box:
        small = size.scaled(QSize(box, box), Qt.AspectRatioMode.KeepAspectRatio).expandedTo(QSize(1, 1))
        if bytes(reader.format().data()) == b"jpeg":  # needs little: it is scaled as it is read
            reader.setScaledSize(small)
            return reader.read()
        if size.width() * size.height() * 4 > WHOLE:
            return (
                _scaled(reader.read(), small) if _may(reader) else QImage()
            )  # the reader would make 32 bits of each pixel first
        reader.setScaledSize(small)
    return reader.read() if _may(reader) else QImage()


def _may(reader: QImageReader) -> bool:
    """Whether the picture, as it lies in the file, fits into ALLOCATION."""
    size, kind = reader.size(), reader.imageFormat()
    depth = QImage.toPixelFormat(kind).bitsPerPixel() if kind != QImage.Format.Format_Invalid else 32
    return not size.isValid() or size.width() * size.height() * depth // 8 <= ALLOCATION


def _scaled(image: QImage, size: QSize) -> QImage:
    """Scaled down with little memory beside the picture itself: sampled in its own kind of pixels, then smoothed."""
    if image.isNull():
        return image
    samples = 4 if max(size.width(), size.height()) <= SAMPLED else 1
    some = image.scaled(size * samples, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.FastTransformation)
    return some.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation)
