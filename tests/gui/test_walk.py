"""Every page in both languages, at the smallest window with letters of 125 %: nothing cut, everything named, every key
its own.
"""

from __future__ import annotations

import copy
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

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

from commonart_desktop.core.process import program
from commonart_desktop.gui.app import Application
from commonart_desktop.gui.background import tasks
from commonart_desktop.gui.pages.export import job
from commonart_desktop.gui.pages.make import jobs
from commonart_desktop.gui.shell.main_window import MainWindow
from commonart_desktop.gui.shell.pages import PAGES
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.widgets import lora_field
from commonart_desktop.gui.widgets.shortcuts import KEYS, native

Open = Callable[..., Application]
ROOM = 1  # pixels that rounding may take


_machine: dict[str, dict[str, Any]] = {}  # what the doctor said, in no language: looking takes seconds


@pytest.fixture
def asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real programs answer, each question once a window: several pages ask for the same lists."""
    answers: dict[str, dict[str, Any]] = {}
    locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def ask(module: str, arguments: Sequence[str], **options: Any) -> dict[str, Any]:
        kept = _machine if module == "engine.doctor" else answers
        key = json.dumps([module, *arguments])
        with locks[key]:
            if key not in kept:
                kept[key] = program(module, arguments, **options)
        return copy.deepcopy(kept[key])

    for place in (tasks, jobs, lora_field, job):
        monkeypatch.setattr(place, "program", ask)


@pytest.fixture(params=["en", "ja"])
def window(
    request: pytest.FixtureRequest, qtbot: QtBot, open_program: Open, tmp_path: Path, asked_once: None
) -> MainWindow:
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
        inner = isinstance(parent, (QAbstractSpinBox, QComboBox, QLineEdit, QTabBar, QAbstractItemView)) or isinstance(
            w, QScrollBar
        )
        if w.isVisible() and not inner and w.objectName() not in ("qt_spinbox_lineedit", "qt_scrollarea_viewport"):
            found.append(w)
    return found


def told(w: QWidget, labels: dict[QWidget, str]) -> str:
    """What a screen reader has to say of it; ``labels``: what stands beside a field."""
    text = w.text() if isinstance(w, (QAbstractButton, QLabel)) else ""
    if (
        isinstance(w, QToolButton)
        and w.toolButtonStyle() == Qt.ToolButtonStyle.ToolButtonIconOnly
        and not w.icon().isNull()
        and w.defaultAction() is None
    ):
        text = ""  # the word does not show; its name must be given
    return w.accessibleName() or text or labels.get(w, "")


def name_of(w: QWidget) -> str:
    return f"{type(w).__name__} {told(w, {}) or w.toolTip() or w.objectName()!r} in {type(w.parent()).__name__}"


def cut(w: QWidget) -> str | None:
    """What of a widget's text does not show, unless its tool tip tells it."""
    if isinstance(w, QLabel):
        text = w.text()
        if not text or (w.pixmap() and not w.pixmap().isNull()):
            return None
        if w.wordWrap():
            need = w.heightForWidth(w.width())
            return f"{need} high, has {w.height()}" if need > w.height() + ROOM else None
        need = w.sizeHint().width()
        return f"{need} wide, has {w.width()}" if need > w.width() + ROOM and not w.toolTip() else None
    if isinstance(w, QAbstractButton):
        hint = w.sizeHint()
        wide, high = hint.width() > w.width() + ROOM and not w.toolTip(), hint.height() > w.height() + ROOM
        return (
            f"{hint.width()} x {hint.height()}, has {w.width()} x {w.height()}" if w.text() and (wide or high) else None
        )
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


def cut_in(state: str, window: MainWindow, page: QWidget, seen: list[QWidget]) -> Iterator[str]:
    if (window.width(), window.height()) != (1024, 640):
        yield f"{state}: the window needs {window.minimumSizeHint()}"
    for w in seen:
        problem = cut(w)
        if problem:
            yield f"{state}: {name_of(w)}: {problem}"
        elif sticks_out(w) and page.isAncestorOf(w):
            yield f"{state}: {name_of(w)}: sticks out of its place"


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


def meet(
    one: tuple[str, Qt.ShortcutContext, QWidget, str], other: tuple[str, Qt.ShortcutContext, QWidget, str]
) -> bool:
    """Whether both could be meant by the same press; of two fields on one page only one has the focus."""
    local = (Qt.ShortcutContext.WidgetShortcut, Qt.ShortcutContext.WidgetWithChildrenShortcut)
    if one[1] in local and other[1] in local:
        a, b = one[2], other[2]
        return a is b or (one[1] == local[1] and a.isAncestorOf(b)) or (other[1] == local[1] and b.isAncestorOf(a))
    return True


def unnamed_in(state: str, window: MainWindow, seen: list[QWidget]) -> Iterator[str]:
    labels = {label.buddy(): label.text() for label in window.findChildren(QLabel) if label.buddy() is not None}
    for w in seen:
        if (w.focusPolicy() & Qt.FocusPolicy.TabFocus and not isinstance(w, QAbstractScrollArea)) or isinstance(
            w, (QAbstractItemView, QAbstractButton)
        ):
            if not told(w, labels).strip():
                yield f"{state}: {name_of(w)} has no name"
            if not w.focusPolicy() & Qt.FocusPolicy.TabFocus and not isinstance(w, QAbstractItemView):
                yield f"{state}: {name_of(w)} cannot be reached by Tab"


def keys_in(state: str, window: MainWindow, page: QWidget, seen: list[QWidget]) -> Iterator[str]:
    for w in seen:
        if isinstance(w, QAbstractButton):
            keys = native(str(w.property(KEYS) or "")) or native(w.shortcut())
            if keys and keys not in w.toolTip():
                yield f"{state}: {name_of(w)} does not tell its keys {keys}"
    everywhere = [
        (a.shortcut().toString(), a.shortcutContext(), window, a.text())
        for a in window._global_actions
        if not a.shortcut().isEmpty()
    ]
    by_keys: dict[str, list[tuple[str, Qt.ShortcutContext, QWidget, str]]] = {}
    for one in dict.fromkeys([*everywhere, *keys_of(page)]):
        for other in by_keys.setdefault(QKeySequence(one[0]).toString(), []):
            if meet(one, other):
                yield f"{state}: {one[0]} means {other[3]!r} and {one[3]!r}"
        by_keys[QKeySequence(one[0]).toString()].append(one)
    letters = Counter(
        QKeySequence.mnemonic(b.text()).toString() for b in page.findChildren(QAbstractButton) if b.isVisible()
    )
    yield from (f"{state}: {k} is the mnemonic of {n} buttons" for k, n in letters.items() if k and n > 1)


def test_nothing_is_cut_and_all_is_named_and_reached(qtbot: QtBot, window: MainWindow) -> None:
    wrong: list[str] = []
    for state, page in states(qtbot, window):
        seen = of(window)
        assert len(seen) > 20, state
        try:
            qtbot.waitUntil(
                lambda page=page: not any(cut_in("", window, page, of(window))), timeout=1000
            )  # what came last may still be laid out
        except qtbot.TimeoutError:
            wrong += cut_in(state, window, page, of(window))
        wrong += [*unnamed_in(state, window, seen), *keys_in(state, window, page, seen)]
    assert wrong == [], "\n".join(sorted(set(wrong)))
