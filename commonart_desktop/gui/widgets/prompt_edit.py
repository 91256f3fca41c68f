"""The prompt's editor: signs of the template language in colour. Keys within a composition: see composition.py."""

from __future__ import annotations

import re

from PySide6.QtCore import QEvent, QMimeData, Signal
from PySide6.QtGui import QColor, QFont, QFontMetrics, QSyntaxHighlighter, QTextCharFormat, QTextDocument
from PySide6.QtWidgets import QPlainTextEdit

from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE

_TOKENS = re.compile(
    r"(?P<escaped>\\[{}|\[\]_\\])|(?P<name>__(?![_\s])(?:(?!__)[^{}|\[\]\r\n])+(?<!\s)__)|(?P<sign>\{|\}|\||\[\[|\]\])|(?P<weight>\d+(?:\.\d*)?::)"
)
MORE_LINES = 7  # that the field grows by before it scrolls
_DEEPEST = 28  # groups within groups that a block's state can hold


class TemplateHighlighter(QSyntaxHighlighter):
    """``{a|b}``, ``[[a|b]]`` and ``__name__`` in the theme's template colour, their signs bold.

    A block's state is the stack of open groups as bits after a leading one: 0 for ``{``, 1 for ``[[``.
    """

    def __init__(self, document: QTextDocument) -> None:
        super().__init__(document)
        self.read_theme()

    def read_theme(self) -> None:
        """Take the colours of the theme in force."""
        self._inside, self._sign = QTextCharFormat(), QTextCharFormat()
        self._inside.setForeground(QColor(theme.colours().template))
        self._sign.setForeground(QColor(theme.colours().template))
        self._sign.setFontWeight(QFont.Weight.Bold)

    def highlightBlock(self, text: str) -> None:
        stack = max(1, self.previousBlockState())
        end = 0
        for match in _TOKENS.finditer(text):
            if stack > 1:
                self._paint(text, end, match.start(), self._inside)
            sign, marked = match["sign"], False
            if match["name"]:
                marked = True
            elif sign in ("{", "[["):
                marked = True
                if stack < 1 << _DEEPEST:
                    stack = stack << 1 | (sign == "[[")
            elif sign == "|":
                marked = stack > 1
            elif sign in ("}", "]]"):
                marked = stack > 1 and (stack & 1 == 1) == (sign == "]]")
                if marked:
                    stack >>= 1
            elif match["weight"]:
                marked = stack > 1 and stack & 1 == 0 and text[: match.start()].rstrip().endswith(("{", "|"))
            if marked:
                self._paint(text, match.start(), match.end(), self._sign)
            elif stack > 1:
                self._paint(text, match.start(), match.end(), self._inside)
            end = match.end()
        if stack > 1:
            self._paint(text, end, len(text), self._inside)
        self.setCurrentBlockState(stack)

    def _paint(self, text: str, start: int, end: int, form: QTextCharFormat) -> None:
        """Qt counts UTF-16 units, Python letters: they differ once an emoji stands before."""
        if end > start:
            first = _units(text[:start])
            self.setFormat(first, _units(text[start:end]), form)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


class PromptEdit(QPlainTextEdit):
    """A text field of some lines. ``edited`` follows the text, not its colours; files that are pasted go to ``files``,
    and several lines to ``lines`` once they are in."""

    edited = Signal()
    files = Signal(list)  # local paths
    lines = Signal(list)  # what was pasted, where it is several lines

    def __init__(self, lines: int, *, template: bool) -> None:
        super().__init__()
        self.setTabChangesFocus(True)
        self._last = ""
        self._lines = lines
        self.highlighter = TemplateHighlighter(self.document()) if template else None
        self.textChanged.connect(self._on_text)
        self.document().documentLayout().documentSizeChanged.connect(lambda _: self._fit())
        self._fit()

    def _fit(self) -> None:
        """As high as its text, within limits."""
        spacing = QFontMetrics(self.font()).lineSpacing()
        lines = min(max(self._lines, int(self.document().size().height())), self._lines + MORE_LINES)
        self.setFixedHeight(spacing * lines + 2 * int(self.document().documentMargin()) + 2 * (SPACE["xs"] + 1))

    def _on_text(self) -> None:
        text = self.toPlainText()
        if text != self._last:
            self._last = text
            self.edited.emit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        highlighter = getattr(self, "highlighter", None)  # Qt tells of changes before __init__ is through
        if event.type() == QEvent.Type.PaletteChange and highlighter is not None:
            highlighter.read_theme()
            highlighter.rehighlight()
        if event.type() == QEvent.Type.FontChange and hasattr(self, "_lines"):
            self._fit()

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Files are no text: the panel behind takes them."""
        return not source.hasUrls() and super().canInsertFromMimeData(source)

    def insertFromMimeData(self, source: QMimeData) -> None:
        if source.hasUrls():
            self.files.emit([u.toLocalFile() for u in source.urls()])
            return
        super().insertFromMimeData(source)
        lines = [line for line in source.text().splitlines() if line.strip()]
        if len(lines) > 1:
            self.lines.emit(lines)
