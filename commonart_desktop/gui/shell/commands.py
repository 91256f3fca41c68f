"""The commands of a page, by name: gathered from its actions, buttons and fields, so that no list can go stale."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QToolButton,
    QWidget,
)
from shiboken6 import isValid

from commonart_desktop.gui.widgets.shortcuts import KEYS, native

_FIELDS = (QLineEdit, QPlainTextEdit, QComboBox, QAbstractSpinBox)
_KATAKANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}  # to hiragana


@dataclass(frozen=True)
class Command:
    """Something that can be done. ``page`` is the page's name, empty for what works everywhere."""

    name: str
    page: str
    keys: str  # as the system writes them
    run: Callable[[], None]
    can: Callable[[], bool] = lambda: True


def plain(text: str) -> str:
    """A button's text without the mark of its mnemonic and the dots of "opens a dialog"."""
    return text.replace("&&", "\0").replace("&", "").replace("\0", "&").rstrip("….: ")


def commands_of(root: QWidget, page: str) -> Iterator[Command]:
    """Everything on a page that has a name: actions, then buttons, then fields to focus."""
    seen: set[str] = set()
    for action in root.findChildren(QAction):
        name = plain(action.text())
        if (
            not name
            or action.isSeparator()
            or action.menu() is not None
            or isinstance(action.parent(), (QLineEdit, QPlainTextEdit))
            or name in seen
        ):
            continue
        seen.add(name)
        yield Command(name, page, native(action.shortcut()), _trigger(action), _enabled(action))
    for button in root.findChildren(QAbstractButton):
        name = plain(button.accessibleName() or button.text() or button.toolTip())
        internal = isinstance(button.parent(), (QLineEdit, QMenu)) or (
            isinstance(button, QToolButton) and button.defaultAction() is not None
        )
        if not name or internal or name in seen or not button.isVisibleTo(root):
            continue
        seen.add(name)
        yield Command(
            name,
            page,
            native(str(button.property(KEYS) or "")) or native(button.shortcut()),
            _click(button),
            _enabled(button),
        )
    for field in root.findChildren(QWidget):
        if (
            isinstance(field, _FIELDS)
            and field.accessibleName()
            and field.isVisibleTo(root)
            and field.accessibleName() not in seen
        ):
            seen.add(field.accessibleName())
            yield Command(field.accessibleName(), page, "", _focus(field), _enabled(field))


def _trigger(action: QAction) -> Callable[[], None]:
    return lambda: action.trigger() if isValid(action) else None


def _click(button: QAbstractButton) -> Callable[[], None]:
    return lambda: button.click() if isValid(button) else None


def _focus(field: QWidget) -> Callable[[], None]:
    return lambda: field.setFocus() if isValid(field) else None


def _enabled(target: QAction | QWidget) -> Callable[[], bool]:
    return lambda: isValid(target) and target.isEnabled()


def folded(text: str) -> str:
    """Text as it is compared: width, case and kind of kana do not matter."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_KATAKANA)


def score(query: str, text: str) -> int | None:
    """How well a name matches the query, more is better; None if it does not. Both folded.

    Every word of the query must occur, at best as the start of a word, at worst as letters in that order.
    """
    total = 0
    for word in query.split():
        at = text.find(word)
        if at >= 0:
            total += 100 - min(at, 50) + (30 if at == 0 or not text[at - 1].isalnum() else 0)
            continue
        last, gaps = -1, 0
        for letter in word:
            at = text.find(letter, last + 1)
            if at < 0:
                return None
            gaps += at - last - 1 if last >= 0 else 0
            last = at
        if gaps > 2 * len(word):
            return None  # letters scattered over half a sentence are chance
        total += max(1, 40 - gaps)
    return total - len(text) // 8
