"""The appearance of the application, from the tokens: Fusion, a palette, one style sheet, icons."""

from __future__ import annotations

from functools import cache, lru_cache

from PySide6.QtCore import QByteArray, QEvent, QObject, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontDatabase,
    QFontInfo,
    QGuiApplication,
    QIcon,
    QIconEngine,
    QImage,
    QPainter,
    QPalette,
    QPixmap,
)
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QSplitterHandle,
    QWidget,
)

from commonart_desktop.gui.style.sheet import style_sheet
from commonart_desktop.gui.style.tokens import DARK, FONT, ICON, LIGHT, Colours
from engine.contract.font import FILE
from engine.contract.paths import resources

ZOOM = "window/zoom"  # in QSettings: factor of the text size, 1 as designed
JAPANESE = (
    "Yu Gothic UI",
    "Meiryo",
    "Hiragino Sans",
    "Hiragino Kaku Gothic ProN",
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "Source Han Sans JP",
    "IPAexGothic",
    "IPAPGothic",
    "Takao PGothic",
    "VL PGothic",
)  # the most legible at 13 px first
_current, _zoom = LIGHT, 1.0
_MAX_WIDGETS, _MAX_CHILDREN = 60, 8  # of a widget that is styled as one, of one that is divided further
_STYLED = (
    QLabel,
    QPlainTextEdit,
    QLineEdit,
    QAbstractSpinBox,
    QComboBox,
    QAbstractButton,
    QAbstractItemView,
    QHeaderView,
    QProgressBar,
    QSplitterHandle,
)
_NAMED = ("side", "notice", "palette", "status")  # frames with rules of their own in the sheet


def colours() -> Colours:
    """The colours of the current theme."""
    return _current


def wants_dark(theme: str) -> bool:
    """``light``, ``dark``, or what the system says."""
    if theme in ("light", "dark"):
        return theme == "dark"
    return QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark


def apply(app: QApplication, theme: str, zoom: float = 1.0) -> None:
    """Set palette and font, with text ``zoom`` times as large as designed; may be called again at any time."""
    global _current, _zoom
    _zoom = zoom
    _current = DARK if wants_dark(theme) else LIGHT
    if app.style().objectName() != "fusion":  # setting it polishes every widget again, even if it is the same
        app.setStyle("Fusion")
    app.setPalette(_palette(_current))
    font = QFont(app.font())
    font.setPixelSize(round(FONT["body"] * zoom))
    font.setFamilies(_families(QFontInfo(font).family()))
    app.setFont(font)


def _families(own: str) -> list[str]:
    """The system's own font, then the first Japanese one installed.

    By default Qt picks a font for each script, so that kana and kanji come from two, on two base lines, and kanji in the
    Chinese forms where a Chinese font is found first.
    """
    installed = set(QFontDatabase.families(QFontDatabase.WritingSystem.Japanese))
    if not installed:
        installed = set(QFontDatabase.applicationFontFamilies(_shipped_font()))
    if not installed or own in installed:
        return [own]
    return [own, next((name for name in JAPANESE if name in installed), min(installed))]


@cache
def _shipped_font() -> int:
    """Qt's id of the font that comes with the program, for a system without a Japanese one; -1 if it cannot be loaded."""
    return QFontDatabase.addApplicationFont(str(resources() / FILE))


def apply_style(root: QWidget) -> None:
    """Set the style sheet of the current theme on a part of the window.

    On parts, and neither on the window nor on the application: what is built without a sheet is styled once, when it is
    in its place, while Qt would evaluate a sheet from further up again whenever a widget is reparented; and a change of
    theme can be spread over several event-loop turns, where all pages at once would take a quarter of a second.
    """
    sheet = style_sheet(_current, {name: round(px * _zoom) for name, px in FONT.items()})
    if isinstance(root, QSplitterHandle):
        if root.findChild(_Plain) is None:
            root.installEventFilter(_Plain(root))
        return
    if root.styleSheet() != sheet:
        root.setStyleSheet(sheet)
    measure(root)


class _Plain(QObject):
    """A splitter's handle without Fusion's dots; a sheet on the handle itself has no effect."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        return event.type() == QEvent.Type.Paint


def style_roots(root: QWidget) -> list[QWidget]:
    """The parts to style one after the other, each of at most ``_MAX_WIDGETS`` widgets where possible.

    A widget above them must have no style of its own, and few children: each part parses the sheet again.
    """
    children = [c for c in root.children() if isinstance(c, QWidget) and not c.isWindow()]
    if (
        len(root.findChildren(QWidget)) <= _MAX_WIDGETS
        or len(children) > _MAX_CHILDREN
        or isinstance(root, _STYLED)
        or root.objectName() in _NAMED
    ):
        return [root]
    return [part for child in children for part in style_roots(child)]


def measure(root: QWidget) -> None:
    """Update the geometry of everything below: layouts cache the sizes from before the style sheet."""
    for widget in root.findChildren(QWidget):
        widget.ensurePolished()
        widget.updateGeometry()


def _palette(c: Colours) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for name, value in (
        (role.Window, c.window),
        (role.WindowText, c.text),
        (role.Base, c.field),
        (role.AlternateBase, c.panel),
        (role.Text, c.text),
        (role.Button, c.raised),
        (role.ButtonText, c.text),
        (role.BrightText, c.bad),
        (role.Highlight, c.selection),
        (role.HighlightedText, c.text),
        (role.ToolTipBase, c.panel),
        (role.ToolTipText, c.text),
        (role.PlaceholderText, c.muted),
        (role.Link, c.accent),
        (role.Mid, c.border),
        (role.Light, c.raised),
        (role.Dark, c.border),
        (role.Accent, c.accent),
    ):
        palette.setColor(name, QColor(value))
    for name in (role.Text, role.WindowText, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, name, QColor(c.muted))
    return palette


@lru_cache(maxsize=512)
def _rendered(name: str, colour: str, width: int, height: int, ratio: float) -> QImage:
    """An icon in a colour and size (``ratio`` device pixels per pixel).

    A page shows dozens, and parsing an SVG each time would be most of the cost of painting them.
    """
    svg = (resources() / "icons" / f"{name}.svg").read_text(encoding="utf-8").replace("currentColor", colour)
    image = QImage(round(width * ratio), round(height * ratio), QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(image.rect()))
    painter.end()
    image.setDevicePixelRatio(ratio)
    return image


class _LineIcon(QIconEngine):
    """An SVG of one colour (``currentColor``), drawn in the theme's text colour at the requested size."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        colour = _current.muted if mode == QIcon.Mode.Disabled else _current.text
        if not rect.isEmpty():
            painter.drawImage(
                rect, _rendered(self._name, colour, rect.width(), rect.height(), painter.device().devicePixelRatioF())
            )

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, pixmap.rect(), mode, state)
        painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        return _LineIcon(self._name)


def icon(name: str) -> QIcon:
    """One of our own line icons (``resources/icons``), in the colour of the theme at the time of painting."""
    return QIcon(_LineIcon(name))


ICON_SIZE = ICON
