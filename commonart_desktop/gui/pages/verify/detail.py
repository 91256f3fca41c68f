"""All about one checked image: its state, who signed it, what was changed, its recipe, and what it was made from."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

from PySide6.QtCore import QRect, QSize, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.core import verify_text
from commonart_desktop.core.parameters_text import settings_lines
from commonart_desktop.core.verify_text import Node
from commonart_desktop.gui.pages.verify.job import named
from commonart_desktop.gui.pages.verify.labels import JUDGED, StateMark, chain_text, kind_of
from commonart_desktop.gui.style.theme import ICON_SIZE, icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label

LONG = 4000  # characters of one value that are shown; a copy has all
TEXTS = 20_000  # characters of other tools' text that are shown
_LONG_WORD = re.compile(r"[!-~]{25,}")
_FULL = Qt.ItemDataRole.UserRole  # the text of a tree item as it is copied


def shown_text(text: str) -> str:
    """Text from a file for display: without control characters and those that change the text direction; lines stay."""
    return "\n".join(verify_text.harmless(line) for line in text.splitlines())


def breakable(text: str) -> str:
    """The same with invisible break opportunities in long words.

    Paths and hashes would widen the layout.
    """
    return _LONG_WORD.sub(lambda m: "\u200b".join(re.findall(r".{1,8}", m[0])), text)


class ChainTree(QTreeWidget):
    """The chain from the image to the licences as an expanded tree, as high as its items."""

    def __init__(self) -> None:
        super().__init__(
            headerHidden=True, wordWrap=True, rootIsDecorated=True, uniformRowHeights=False, indentation=SPACE["xl"]
        )
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setTabKeyNavigation(False)
        self._fitting = False
        self._icons = {state: icon(name) for state, name in JUDGED.items()}
        self.itemExpanded.connect(self._fit)
        self.itemCollapsed.connect(self._fit)

    def show_tree(self, root: Node | None) -> None:
        """Show the chain of another image."""
        self.clear()
        if root is not None:
            top = self._item(root)
            self.addTopLevelItem(top)
            self.expandAll()
            self.setCurrentItem(top)
        self._fit()

    def _item(self, node: Node) -> QTreeWidgetItem:
        text = shown_text(node.text).replace("\n", " ")
        item = QTreeWidgetItem([breakable(text)])
        item.setData(0, _FULL, text)
        item.setToolTip(0, html.escape(text))
        if node.state in self._icons:
            item.setIcon(0, self._icons[node.state])
        for inner in node.inner:
            item.addChild(self._item(inner))
        return item

    def texts(self) -> list[str]:
        """All items, from the top."""
        texts: list[str] = []

        def walk(item: QTreeWidgetItem | None) -> None:
            if item is None:
                return
            texts.append(str(item.data(0, _FULL)))
            for n in range(item.childCount()):
                walk(item.child(n))

        for n in range(self.topLevelItemCount()):
            walk(self.topLevelItem(n))
        return texts

    def copy_current(self) -> None:
        """Copy the current item to the clipboard."""
        if (item := self.currentItem()) is not None:
            QGuiApplication.clipboard().setText(str(item.data(0, _FULL)))

    def _give_height(self, item: QTreeWidgetItem) -> None:
        """The height of the wrapped text: the view would give it one line and elide it."""
        depth, parent = 1, item.parent()
        while parent is not None:
            depth, parent = depth + 1, parent.parent()
        room = (
            self.viewport().width()
            - depth * self.indentation()
            - (0 if item.icon(0).isNull() else ICON_SIZE + SPACE["xs"])
            - SPACE["m"]
        )
        needed = (
            self.fontMetrics()
            .boundingRect(QRect(0, 0, max(60, room), 10_000), Qt.TextFlag.TextWordWrap, item.text(0))
            .height()
            + SPACE["xs"]
        )
        if item.sizeHint(0).height() != needed:
            item.setSizeHint(0, QSize(60, needed))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._fit()

    def _fit(self, *_: object) -> None:
        if self._fitting:
            return
        self._fitting = True
        last, item = None, self.topLevelItem(0)
        while item is not None:
            self._give_height(item)
            last, item = item, self.itemBelow(item)
        self.doItemsLayout()
        self._fitting = False
        bottom = self.visualItemRect(last).bottom() + self.verticalOffset() if last is not None else 0
        self.setFixedHeight(bottom + 2 * self.frameWidth() + SPACE["xs"])


class VerifyDetail(QWidget):
    """``add_loras``: the user wants to add a LoRA folder."""

    add_loras = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.report: dict[str, Any] | None = None
        self.title = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.title.setProperty("role", "title")
        self.place = QLineEdit(
            readOnly=True, accessibleName=self.tr("File")
        )  # a path cannot be wrapped: a line that scrolls
        self.mark, self.state = StateMark(), label(role="section")
        self.findings, self.belief = label(), label(role="hint")
        self.open = QPushButton(icon("folder"), self.tr("Open folder"), clicked=self._open)
        self.recipe_title = label(self.tr("How it was made"), "section")
        self.grid = QGridLayout(horizontalSpacing=SPACE["l"], verticalSpacing=SPACE["xs"])
        self.grid.setColumnStretch(1, 1)
        self.copy_recipe = QPushButton(
            icon("copy"),
            self.tr("Copy recipe"),
            toolTip=self.tr("Copy the whole recipe, as it stands in the file"),
            clicked=self._copy_recipe,
        )
        self.chain_title = label(self.tr("What it was made from"), "section")
        self.chain_note = label(role="hint")
        self.tree = ChainTree()
        self.tree.setAccessibleName(self.tr("What it was made from"))
        self.loras = QPushButton(icon("add"), self.tr("Say where LoRAs are…"), clicked=self.add_loras)
        self.texts_title, self.texts_note = label(self.tr("Text of another tool"), "section"), label(role="hint")
        self.texts = QPlainTextEdit(readOnly=True, accessibleName=self.tr("Text of another tool"), tabChangesFocus=True)
        self.texts.setFixedHeight(10 * self.texts.fontMetrics().lineSpacing())
        head = QHBoxLayout(spacing=SPACE["s"])
        head.addWidget(self.mark, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self.state, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        column.setSpacing(SPACE["s"])
        for widget in (self.title, self.place):
            column.addWidget(widget)
        column.addSpacing(SPACE["s"])
        column.addLayout(head)
        column.addWidget(self.findings)
        column.addWidget(self.open, 0, Qt.AlignmentFlag.AlignLeft)
        for title, *widgets in (
            (self.chain_title, self.chain_note, self.tree, self.loras),
            (self.recipe_title, self.belief, self.copy_recipe),
            (self.texts_title, self.texts_note, self.texts),
        ):
            column.addSpacing(SPACE["s"])
            column.addWidget(title)
            for widget in widgets:
                if widget is self.copy_recipe:
                    column.addLayout(self.grid)
                column.addWidget(
                    widget, 0, Qt.AlignmentFlag.AlignLeft if isinstance(widget, QPushButton) else Qt.AlignmentFlag(0)
                )
        column.addStretch()
        self.show_report(None, "")

    def show_report(self, report: dict[str, Any] | None, path: str) -> None:
        """Show a report; None for an image that was not checked yet, with an empty ``path`` for no image."""
        self.report, self._path = report, path
        self.title.setText(
            breakable(shown_text(named(path))) if path else self.tr("Select an image to see what is known about it.")
        )
        self.place.setText(path)
        self.place.setToolTip(html.escape(path))
        for widget in (self.place, self.open):
            widget.setVisible(bool(path))
        kind = kind_of(report)
        self.mark.show_kind(kind)
        self.mark.setVisible(bool(path))
        if report is None:
            self._text(self.state, self.tr("Not checked yet") if path else "")
            self._text(self.findings, "")
        else:
            state = shown_text(verify_text.state(report))
            self._text(self.state, state[:1].upper() + state[1:])
            self._text(
                self.findings,
                "\n".join(
                    [chain_text(report)] * (verify_text.chain_state(report) == "bad")
                    + [shown_text(line) for line in verify_text.findings(report)]
                ),
            )
        self._show_recipe(report)
        self._show_chain(report)
        self._show_texts(report)

    @staticmethod
    def _text(where: QLabel, text: str) -> None:
        where.setText(breakable(text))
        where.setVisible(bool(text))

    def _show_recipe(self, report: dict[str, Any] | None) -> None:
        while (item := self.grid.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        origin = verify_text.made(report) if report else []
        for row, (name, value) in enumerate(origin):
            self.grid.addWidget(label(name, "muted"), row, 0, Qt.AlignmentFlag.AlignTop)
            self.grid.addWidget(label(breakable(shown_text(value[:LONG]))), row, 1)
        for widget in (self.recipe_title, self.copy_recipe):
            widget.setVisible(bool(origin))
        lines = (
            [verify_text.hidden(report), *verify_text.belief(report), verify_text.labelled(report)]
            if report and origin
            else []
        )
        self._text(self.belief, "\n".join(shown_text(line) for line in lines if line))

    def _show_chain(self, report: dict[str, Any] | None) -> None:
        root = verify_text.tree(report) if report else None
        for widget in (self.chain_title, self.tree):
            widget.setVisible(root is not None)
        self.tree.show_tree(root)
        note = chain_text(report) if report and root and verify_text.chain_state(report) == "missing" else ""
        self._text(
            self.chain_note, note or (self.tr("No LoRA was used.") if report and root and not report["chain"] else "")
        )
        self.loras.setVisible(bool(report and any(not link["file"] for link in report["chain"])))

    def _show_texts(self, report: dict[str, Any] | None) -> None:
        intro = verify_text.foreign_text(report) if report else ""
        for widget in (self.texts_title, self.texts):
            widget.setVisible(bool(intro))
        lines = (
            [intro.rstrip(":："), verify_text.labelled(report)]
            if report and intro
            else [verify_text.labelled(report)]
            if report and not report["recipe"]
            else []
        )
        self._text(self.texts_note, "\n".join(line for line in lines if line))
        if report and intro:
            read = settings_lines(report["read"]) if report["read"] else []
            parts = ["\n".join(f"{name}: {shown_text(text)}" for name, text in read)] if read else []
            parts += [f"{key}\n{shown_text(text)}" for key, text in report["texts"].items()]
            self.texts.setPlainText("\n\n".join(parts)[:TEXTS])

    def _copy_recipe(self) -> None:
        if self.report and self.report["recipe"]:
            QGuiApplication.clipboard().setText(json.dumps(self.report["recipe"], ensure_ascii=False, indent=1))

    def _open(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(Path(self._path).parent)))
