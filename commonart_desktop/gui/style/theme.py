"""The application's looks, set once from the tokens: Fusion, a palette, one style sheet."""

from __future__ import annotations

from functools import cache, lru_cache

from PySide6.QtCore import QByteArray, QEvent, QObject, QRect, QRectF, Qt
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

from commonart_desktop.gui.style.tokens import DARK, FONT, ICON, LIGHT, RADIUS, SPACE, Colours
from engine.contract.font import FILE
from engine.contract.paths import home, resources, writing_home

ZOOM = "window/zoom"  # in QSettings: size of the letters, 1 as designed
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
)  # by how well each reads at 13 px
_current, _zoom = LIGHT, 1.0
_ISLAND, _FEW = 60, 8
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
_NAMED = ("side", "notice", "finder", "status")  # frames with rules of their own in the sheet


def colours() -> Colours:
    """Those of the theme in force."""
    return _current


def wants_dark(theme: str) -> bool:
    """``light``, ``dark``, or what the system says."""
    if theme in ("light", "dark"):
        return theme == "dark"
    return QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark


def apply(app: QApplication, theme: str, zoom: float = 1.0) -> None:
    """Put palette and font on, with letters ``zoom`` times as large as designed; may be called again at any time."""
    global _current, _zoom
    _zoom = zoom
    _current = DARK if wants_dark(theme) else LIGHT
    if app.style().objectName() != "fusion":  # Qt polishes every widget anew for it, also where it is the same
        app.setStyle("Fusion")
    app.setPalette(_palette(_current))
    font = QFont(app.font())
    font.setPixelSize(round(FONT["body"] * zoom))
    font.setFamilies(_families(QFontInfo(font).family()))
    app.setFont(font)


def _families(own: str) -> list[str]:
    """The system's own, then the first Japanese one that is here: left to itself, Qt picks a font for each script, so that kana and kanji
    come from two, on two base lines, and kanji in the Chinese forms where a Chinese font is found first."""
    there = set(QFontDatabase.families(QFontDatabase.WritingSystem.Japanese))
    if not there:
        there = set(QFontDatabase.applicationFontFamilies(_shipped_font()))
    if not there or own in there:
        return [own]
    return [own, next((name for name in JAPANESE if name in there), min(there))]


@cache
def _shipped_font() -> int:
    """Qt's number of the font that comes with the program, for a system without a Japanese one; -1 if Qt does not take it."""
    return QFontDatabase.addApplicationFont(str(resources() / FILE))


def apply_style(island: QWidget) -> None:
    """Put the style sheet of the theme in force on a part of the window.

    On parts, and neither on the window nor on the application: what is built bare is dressed once, when it is in its place, while Qt would
    work a sheet from further up out again at every step of a widget's way there; and a change of theme can go part by part, over several
    event-loop turns, where all pages at once would take a quarter of a second.
    """
    sheet = _sheet(_current, {name: round(px * _zoom) for name, px in FONT.items()})
    if isinstance(island, QSplitterHandle):
        if island.findChild(_Plain) is None:
            island.installEventFilter(_Plain(island))
        return
    if island.styleSheet() != sheet:
        island.setStyleSheet(sheet)
    measure(island)


class _Plain(QObject):
    """A splitter's handle without Fusion's dots; a sheet on the handle itself is not heard."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        return event.type() == QEvent.Type.Paint


def style_roots(root: QWidget) -> list[QWidget]:
    """The parts to dress one after the other, each of some ``_ISLAND`` widgets where its build allows; together they are all that has a look.

    A part in between must have no look of its own, and few children: each island reads the sheet anew.
    """
    children = [c for c in root.children() if isinstance(c, QWidget) and not c.isWindow()]
    if (
        len(root.findChildren(QWidget)) <= _ISLAND
        or len(children) > _FEW
        or isinstance(root, _STYLED)
        or root.objectName() in _NAMED
    ):
        return [root]
    return [island for child in children for island in style_roots(child)]


def measure(root: QWidget) -> None:
    """Have everything below measured as it looks now: layouts remember the sizes of before the style sheet came."""
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


def _art(c: Colours) -> dict[str, str]:
    """Arrows and a tick in the theme's colours, as files: a style sheet can only name files. Raises DataFolder, DiskFull."""
    folder = home() / "cache" / "theme"
    with writing_home():
        folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, source, colour in (
        ("up", "up", c.text),
        ("down", "down", c.text),
        ("check", "done", c.on_accent),
        ("dot", "dot", c.accent),
        ("dot-off", "dot", c.muted),
    ):
        path = folder / f"{name}-{colour.lstrip('#')}.svg"
        if not path.exists():
            svg = (resources() / "icons" / f"{source}.svg").read_text(encoding="utf-8")
            with writing_home():
                path.write_text(svg.replace("currentColor", colour), encoding="utf-8")
        paths[name] = path.as_posix()
    return paths


def _sheet(c: Colours, font: dict[str, int]) -> str:
    art = _art(c)
    return f"""
    QLabel[role="title"] {{ font-size: {font["title"]}px; }}
    QLabel[role="section"] {{ font-size: {font["large"]}px; }}
    QLabel[role="muted"], QLabel[role="hint"] {{ color: {c.muted}; font-size: {font["small"]}px; }}
    QLabel[role="bad"] {{ color: {c.bad}; font-size: {font["small"]}px; }}
    QPlainTextEdit, QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox {{
        background: {c.field}; border: 1px solid {c.border}; border-radius: {RADIUS}px; padding: {SPACE["xs"]}px {SPACE["s"]}px; }}
    QPlainTextEdit:focus, QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus {{ border-color: {c.accent}; }}
    QComboBox::drop-down {{ border: none; width: {SPACE["l"] + 4}px; }}
    QComboBox::down-arrow {{ image: url({art["down"]}); width: 14px; height: 14px; }}
    QSpinBox::up-button, QDoubleSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::down-button {{ border: none; width: 18px; }}
    QSpinBox::up-arrow, QDoubleSpinBox::up-arrow {{ image: url({art["up"]}); width: 12px; height: 12px; }}
    QSpinBox::down-arrow, QDoubleSpinBox::down-arrow {{ image: url({art["down"]}); width: 12px; height: 12px; }}
    QPushButton {{ background: {c.raised}; border: 1px solid {c.border}; border-radius: {RADIUS}px; padding: {SPACE["xs"] + 2}px {SPACE["m"]}px; }}
    QPushButton:hover {{ border-color: {c.muted}; }}
    QPushButton:focus {{ border-color: {c.accent}; }}
    QPushButton[main="true"] {{ background: {c.accent}; color: {c.on_accent}; border-color: {c.accent}; }}
    QPushButton:disabled, QPushButton[main="true"]:disabled {{ background: {c.raised}; color: {c.muted}; border-color: {c.border}; }}
    QCheckBox::indicator {{ width: 14px; height: 14px; border: 1px solid {c.muted}; border-radius: 3px; background: {c.field}; }}
    QCheckBox::indicator:focus {{ border-color: {c.accent}; }}
    QCheckBox::indicator:checked {{ background: {c.accent}; border-color: {c.accent}; image: url({art["check"]}); }}
    QRadioButton::indicator {{ width: 14px; height: 14px; border: 1px solid {c.muted}; border-radius: 8px; background: {c.field}; }}
    QRadioButton::indicator:focus {{ border-color: {c.accent}; }}
    QRadioButton::indicator:checked {{ border-color: {c.accent}; image: url({art["dot"]}); }}
    QRadioButton::indicator:checked:disabled {{ border-color: {c.muted}; image: url({art["dot-off"]}); }}
    QToolButton {{ background: transparent; border: 1px solid transparent; border-radius: {RADIUS}px; padding: {SPACE["xs"]}px; }}
    QToolButton:hover {{ background: {c.raised}; }}
    QToolButton:focus {{ border-color: {c.accent}; }}
    QToolButton:checked {{ background: {c.selection}; }}
    QToolButton[popupMode="1"] {{ padding-right: {SPACE["l"]}px; }}
    QToolButton::menu-button {{ border: none; width: {SPACE["l"]}px; }}
    QToolButton::menu-arrow {{ image: url({art["down"]}); width: 12px; height: 12px; }}
    QToolButton::menu-indicator {{ image: none; }}
    QTreeView, QTableView, QListView {{ background: {c.field}; border: 1px solid {c.border}; border-radius: {RADIUS}px; }}
    QTableView[plain="true"]::item {{ padding: 0 {SPACE["xs"] + 1}px; }}
    QHeaderView::section {{ background: {c.panel}; color: {c.muted}; border: none; border-bottom: 1px solid {c.border};
        padding: {SPACE["xs"]}px {SPACE["s"]}px; }}
    QFrame#side {{ background: {c.panel}; border-right: 1px solid {c.border}; }}
    QFrame#notice {{ background: {c.raised}; border-top: 1px solid {c.border}; }}
    QFrame#finder {{ background: {c.panel}; border: 1px solid {c.muted}; border-radius: {RADIUS}px; }}
    QFrame#finder QTreeView {{ border: none; background: {c.panel}; }}
    QFrame#finder QTreeView::item {{ padding: {SPACE["xs"]}px; }}
    QFrame#finder QTreeView::item:disabled {{ color: {c.muted}; }}
    QFrame#status {{ background: {c.panel}; border-top: 1px solid {c.border}; }}
    QProgressBar {{ background: {c.raised}; border: none; border-radius: 3px; max-height: 6px; }}
    QProgressBar::chunk {{ background: {c.accent}; border-radius: 3px; }}
    QSplitter::handle {{ background: {c.window}; }}
    QToolTip {{ background: {c.panel}; color: {c.text}; border: 1px solid {c.border}; padding: {SPACE["xs"]}px; }}
    """


@lru_cache(maxsize=512)
def _drawn(name: str, colour: str, width: int, height: int, ratio: float) -> QImage:
    """An icon in a colour and size (``ratio`` device pixels a pixel): a page shows dozens, and reading an SVG each time is most of their painting."""
    svg = (resources() / "icons" / f"{name}.svg").read_text(encoding="utf-8").replace("currentColor", colour)
    image = QImage(round(width * ratio), round(height * ratio), QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(image.rect()))
    painter.end()
    image.setDevicePixelRatio(ratio)
    return image


class _LineIcon(QIconEngine):
    """An SVG of one colour (``currentColor``), drawn in the theme's text colour at whatever size is asked."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        colour = _current.muted if mode == QIcon.Mode.Disabled else _current.text
        if not rect.isEmpty():
            painter.drawImage(
                rect, _drawn(self._name, colour, rect.width(), rect.height(), painter.device().devicePixelRatioF())
            )

    def pixmap(self, size: object, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        picture = QPixmap(size)  # type: ignore[call-overload]
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        self.paint(painter, picture.rect(), mode, state)
        painter.end()
        return picture

    def clone(self) -> QIconEngine:
        return _LineIcon(self._name)


def icon(name: str) -> QIcon:
    """One of our own line icons (``resources/icons``), tinted by the theme at the moment of drawing."""
    return QIcon(_LineIcon(name))


ICON_SIZE = ICON
