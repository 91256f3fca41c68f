"""Pictures by PyTorch and by ONNX side by side, and where they differ. They are read off the window's thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from commonart_desktop.gui.images.loader import ImageLoader
from commonart_desktop.gui.images.messages import problem_text
from commonart_desktop.gui.images.reader import LoadedImage, read_image
from commonart_desktop.gui.pages.export.report import Pair, Report
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label

LARGEST = 1024  # pixels of a side that are read
SIDE = 220  # points at most that a picture takes
DOUBLINGS = 4  # of the difference: 16 times as bright


def difference(a: QImage, b: QImage) -> QImage:
    """``|a - b|`` brightened, saturating at white; null where their sizes differ."""
    if a.isNull() or a.size() != b.size():
        return QImage()
    made = a.convertToFormat(QImage.Format.Format_RGB32)
    painter = QPainter(made)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Difference)
    painter.drawImage(0, 0, b)
    painter.end()
    for _ in range(DOUBLINGS):
        same = made.copy()
        painter = QPainter(made)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Plus)
        painter.drawImage(0, 0, same)
        painter.end()
    return made.convertToFormat(QImage.Format.Format_RGB32)


class Picture(QWidget):
    """One image, as wide as there is room up to SIDE; small pixels stay sharp."""

    def __init__(self) -> None:
        super().__init__()
        self.image = QImage()
        self.read = False  # whether it was tried
        self.message = ""
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMinimumWidth(72)
        self.setMaximumWidth(SIDE)

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return min(width, SIDE)

    def sizeHint(self) -> QSize:
        return QSize(SIDE, SIDE)

    def set_image(self, loaded: LoadedImage) -> None:
        self.image, self.read, self.message = loaded.image, True, problem_text(loaded)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        c = theme.colours()
        whole = QRectF(self.rect())
        painter.fillRect(whole, QColor(c.raised))
        if self.image.isNull():
            if self.read:
                painter.setPen(QColor(c.muted))
                painter.drawText(
                    self.rect(),
                    int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap),
                    self.message,
                )
            return
        size = self.image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        at = QRectF((self.width() - size.width()) / 2, (self.height() - size.height()) / 2, size.width(), size.height())
        painter.setRenderHint(
            QPainter.RenderHint.SmoothPixmapTransform, self.image.width() > size.width() * self.devicePixelRatioF() / 2
        )
        painter.drawImage(at, self.image)


class PairRow(QWidget):
    """The three pictures of a pair under what was asked and what came out."""

    def __init__(self, pair: Pair, bound: float | None) -> None:
        super().__init__()
        self.pair = pair
        self.pictures = (Picture(), Picture(), Picture())
        words = ("PyTorch", "ONNX", self.tr("Difference, 16 times as bright"))
        asked = label(pair.prompt or "–")
        told = [self.tr("seed {seed}").format(seed=pair.seed), "–" if pair.psnr is None else f"{pair.psnr:.1f} dB"]
        if bound is not None:
            told.append(self.tr("good") if pair.good else self.tr("below {bound} dB").format(bound=f"{bound:.0f}"))
        elif pair.changed:
            told.append(self.tr("shows another concept"))
        mark, facts = QLabel(), label(" · ".join(told), "muted")
        good = pair.good and not pair.changed if bound is None else pair.good
        mark.setPixmap(theme.icon("done" if good else "failed").pixmap(16, 16))
        head = QHBoxLayout(spacing=SPACE["s"])
        head.addWidget(mark, 0, Qt.AlignmentFlag.AlignTop)
        text = QVBoxLayout(spacing=0)
        text.addWidget(asked)
        text.addWidget(facts)
        head.addLayout(text, 1)
        side_by_side = QWidget(maximumWidth=3 * SIDE + 2 * SPACE["s"])
        grid = QGridLayout(side_by_side, horizontalSpacing=SPACE["s"], verticalSpacing=SPACE["xs"])
        grid.setContentsMargins(0, 0, 0, 0)
        for n, (picture, word) in enumerate(zip(self.pictures, words, strict=True)):
            picture.setAccessibleName(f"{word}: {pair.prompt}")
            grid.addWidget(picture, 0, n, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(label(word, "muted"), 1, n, Qt.AlignmentFlag.AlignTop)
            grid.setColumnStretch(n, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, SPACE["m"])
        column.setSpacing(SPACE["s"])
        column.addLayout(head)
        column.addWidget(side_by_side)
        side_by_side.setVisible(
            bool(pair.pytorch or pair.onnx)
        )  # of an export that was removed only the figures are left


def read_pair(pair: Pair) -> tuple[LoadedImage, LoadedImage, LoadedImage]:
    """By PyTorch, by ONNX, and the difference. For a background thread."""
    a, b = (read_image(path, LARGEST) if path else LoadedImage() for path in (pair.pytorch, pair.onnx))
    both = difference(a.image, b.image)
    return a, b, LoadedImage(both, both.size())


class PairList(QWidget):
    """All pairs of a report, one under the other."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[PairRow] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(SPACE["s"])
        self._loader = ImageLoader(self)

    def show_report(self, report: Report | None) -> None:
        for row in self.rows:
            row.hide()
            row.deleteLater()
        self.rows = [PairRow(pair, report.bound_psnr) for pair in report.pairs] if report else []
        for row in self.rows:
            self._column.addWidget(row)
        self._loader.clear()
        for row in self.rows:
            self._loader.submit(read_pair, row.pair, done=partial(self._on_read, row))

    def pending(self) -> bool:
        return any(not p.read for row in self.rows for p in row.pictures)

    def _on_read(self, row: PairRow, images: Sequence[LoadedImage]) -> None:
        for picture, image in zip(row.pictures, images, strict=True):
            picture.set_image(image)
