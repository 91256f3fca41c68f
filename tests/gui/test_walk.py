"""Every page in both languages, at the smallest window with letters of 125 %: nothing cut, everything named, every key its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QSettings, Qt
from PySide6.QtGui import QAction, QFontMetrics, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QScrollBar,
    QTabBar,
    QToolButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from commonart_desktop.gui import theme
from commonart_desktop.gui.actions import KEYS, native
from commonart_desktop.gui.app import Application
from commonart_desktop.gui.main_window import MainWindow
from commonart_desktop.gui.pages import PAGES

Open = Callable[..., Application]
ROOM = 1  # pixels that rounding may take


@pytest.fixture(params=["en", "ja"])
def window(request: pytest.FixtureRequest, qtbot: QtBot, open_program: Open, tmp_path: Path) -> MainWindow:
    (tmp_path / "home").mkdir(exist_ok=True)
    state = QSettings(str(tmp_path / "home" / "window.ini"), QSettings.Format.IniFormat)
    state.setValue(theme.ZOOM, "1.25")
    state.sync()
    del state
    whole = open_program(language=request.param)
    whole.window.resize(1024, 640)
    whole.window.show()
    qtbot.waitExposed(whole.window)
    return whole.window


def states(qtbot: QtBot, window: MainWindow) -> Iterator[tuple[str, QWidget]]:
    """Every page, shown and come to rest; then the further states it can be brought into."""
    for page in PAGES:
        window.go_to(page.name)
        qtbot.waitUntil(window.settled, timeout=30_000)
        widget = window.page(page.name)
        busy = getattr(widget, "busy", None)
        if busy is not None:
            qtbot.waitUntil(lambda busy=busy: not busy(), timeout=60_000)
        QApplication.processEvents()
        yield page.name, widget
        for state in getattr(widget, "shots", lambda: ())():
            QApplication.processEvents()
            yield f"{page.name}, {state}", widget


def of(root: QWidget) -> list[QWidget]:
    """What can be seen or scrolled to, without the inner parts of Qt's own controls."""
    found = []
    for w in root.findChildren(QWidget):
        parent = w.parent()
        inner = isinstance(parent, (QAbstractSpinBox, QComboBox, QLineEdit, QTabBar, QAbstractItemView)) or isinstance(w, QScrollBar)
        if w.isVisible() and not inner and w.objectName() not in ("qt_spinbox_lineedit", "qt_scrollarea_viewport"):
            found.append(w)
    return found


def told(w: QWidget) -> str:
    """What a screen reader has to say of it."""
    text = w.text() if isinstance(w, (QAbstractButton, QLabel)) else ""
    if isinstance(w, QToolButton) and w.toolButtonStyle() == Qt.ToolButtonStyle.ToolButtonIconOnly and not w.icon().isNull() and w.defaultAction() is None:
        text = ""  # the word does not show; its name must be given
    labels = [label.text() for label in w.window().findChildren(QLabel) if label.buddy() is w]
    return w.accessibleName() or text or "".join(labels)


def name_of(w: QWidget) -> str:
    return f"{type(w).__name__} {told(w) or w.toolTip() or w.objectName()!r} in {type(w.parent()).__name__}"


def cut(w: QWidget) -> str | None:
    """What of a widget's text does not show, unless its tool tip tells it."""
    if isinstance(w, QLabel):
        text = w.text()
        if not text or w.pixmap() and not w.pixmap().isNull():
            return None
        if w.wordWrap():
            need = w.heightForWidth(w.width())
            return f"{need} high, has {w.height()}" if need > w.height() + ROOM else None
        need = w.sizeHint().width()
        return f"{need} wide, has {w.width()}" if need > w.width() + ROOM and not w.toolTip() else None
    if isinstance(w, QAbstractButton):
        hint = w.sizeHint()
        wide, high = hint.width() > w.width() + ROOM and not w.toolTip(), hint.height() > w.height() + ROOM
        return f"{hint.width()} x {hint.height()}, has {w.width()} x {w.height()}" if w.text() and (wide or high) else None
    if isinstance(w, QComboBox):
        need = QFontMetrics(w.font()).horizontalAdvance(w.currentText()) + 2 * 8 + 20
        tip = w.toolTip() or w.currentData(Qt.ItemDataRole.ToolTipRole)
        return f"{need} wide, has {w.width()}" if need > w.width() + ROOM and not tip else None
    if isinstance(w, QAbstractSpinBox):
        need = QFontMetrics(w.font()).horizontalAdvance(w.text()) + 2 * 8 + 18
        return f"{need} wide, has {w.width()}" if need > w.width() + ROOM else None
    return None


def sticks_out(w: QWidget) -> bool:
    """Whether it reaches over an ancestor's edge that no scroll bar brings into view."""
    parent = w.parentWidget()
    if parent is None or isinstance(parent.parentWidget(), QAbstractScrollArea):
        return False
    return w.geometry().right() > parent.rect().right() + ROOM or w.geometry().bottom() > parent.rect().bottom() + ROOM


def test_nothing_is_cut(qtbot: QtBot, window: MainWindow) -> None:
    wrong = []
    for state, page in states(qtbot, window):
        assert (window.width(), window.height()) == (1024, 640), f"{state}: it needs {window.minimumSizeHint()}"
        for w in of(window):
            problem = cut(w)
            if problem:
                wrong.append(f"{state}: {name_of(w)}: {problem}")
            elif sticks_out(w) and page.isAncestorOf(w):
                wrong.append(f"{state}: {name_of(w)}: sticks out of its place")
    assert wrong == [], "\n".join(wrong)


def keys_of(root: QWidget) -> Iterator[tuple[str, Qt.ShortcutContext, QWidget, str]]:
    """(keys, context, the widget it belongs to, its name) of every shortcut below."""
    for action in root.findChildren(QAction):
        parent = action.parent()
        if not isinstance(parent, QLineEdit):
            for keys in action.shortcuts():
                owners = [o for o in action.associatedObjects() if isinstance(o, QWidget)] or [root]
                owners = [o for o in owners if not isinstance(o, QToolButton)] or owners
                yield keys.toString(), action.shortcutContext(), owners[0], action.text()
    for shortcut in root.findChildren(QShortcut):
        for keys in shortcut.keys():  # noqa: SIM118
            yield keys.toString(), shortcut.context(), shortcut.parent(), shortcut.whatsThis()  # type: ignore[misc]
    for button in root.findChildren(QAbstractButton):
        if not button.shortcut().isEmpty():
            yield button.shortcut().toString(), Qt.ShortcutContext.WindowShortcut, button, button.text()


def meet(one: tuple[str, Qt.ShortcutContext, QWidget, str], other: tuple[str, Qt.ShortcutContext, QWidget, str]) -> bool:
    """Whether both could be meant by the same press; of two fields on one page only one has the focus."""
    local = (Qt.ShortcutContext.WidgetShortcut, Qt.ShortcutContext.WidgetWithChildrenShortcut)
    if one[1] in local and other[1] in local:
        a, b = one[2], other[2]
        return a is b or (one[1] == local[1] and a.isAncestorOf(b)) or (other[1] == local[1] and b.isAncestorOf(a))
    return True


def test_names_and_keys(qtbot: QtBot, window: MainWindow) -> None:
    wrong: list[str] = []
    for state, page in states(qtbot, window):
        for w in of(window):
            if w.focusPolicy() & Qt.FocusPolicy.TabFocus and not isinstance(w, QAbstractScrollArea) or isinstance(w, (QAbstractItemView, QAbstractButton)):
                if not told(w).strip():
                    wrong.append(f"{state}: {name_of(w)} has no name")
                if not w.focusPolicy() & Qt.FocusPolicy.TabFocus and not isinstance(w, QAbstractItemView):
                    wrong.append(f"{state}: {name_of(w)} cannot be reached by Tab")
            if isinstance(w, QAbstractButton):
                keys = native(str(w.property(KEYS) or "")) or native(w.shortcut())
                if keys and keys not in w.toolTip():
                    wrong.append(f"{state}: {name_of(w)} does not tell its keys {keys}")
        everywhere = [(a.shortcut().toString(), a.shortcutContext(), window, a.text()) for a in window._own if not a.shortcut().isEmpty()]
        found = list(dict.fromkeys([*everywhere, *keys_of(page)]))
        for n, one in enumerate(found):
            for other in found[n + 1:]:
                if QKeySequence(one[0]) == QKeySequence(other[0]) and meet(one, other):
                    wrong.append(f"{state}: {one[0]} means {one[3]!r} and {other[3]!r}")
        letters = Counter(QKeySequence.mnemonic(b.text()).toString() for b in page.findChildren(QAbstractButton) if b.isVisible())
        wrong += [f"{state}: {k} is the mnemonic of {n} buttons" for k, n in letters.items() if k and n > 1]
    assert wrong == [], "\n".join(sorted(set(wrong)))
