"""Around the thumbnail grid: search and filters above, the thumbnail size below."""

from __future__ import annotations

import os
from pathlib import Path

from PySide6.QtCore import QLocale, QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.gui.pages.gallery.grid_view import SIZES
from commonart_desktop.gui.pages.gallery.index import SORTS, Query
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE

MAX_FOLDERS = 300


class _Search(QLineEdit):
    """Esc clears it, Enter and the down key move to the images."""

    left = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.left.emit()
        else:
            super().keyPressEvent(event)


class FilterBar(QWidget):
    """Search and filters. ``asked`` is emitted after any change; typing is debounced."""

    changed = Signal()
    left = Signal()
    add_folder = Signal()
    remove_folder = Signal(str)
    again = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.search = _Search(
            placeholderText=self.tr("Search"),
            clearButtonEnabled=True,
            accessibleName=self.tr("Search"),
            toolTip=self.tr(
                "Search prompts and settings: every word must occur, as in: rain seed:7 steps:20 sampler:euler (Ctrl+F)"
            ),
        )
        self.search.addAction(icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self.search.setMinimumWidth(140)
        self.search.left.connect(self.left)
        self.sort = self._combo(self.tr("Order"))
        for key, text in zip(
            SORTS, (self.tr("Newest first"), self.tr("Best rated first"), self.tr("By name")), strict=False
        ):
            self.sort.addItem(text, key)
        self.rating = self._combo(self.tr("Least rating"))
        self.rating.addItem(self.tr("Any rating"), 0)
        for n in range(1, 6):
            self.rating.addItem(self.tr("{n} and up").format(n=n) if n < 5 else self.tr("5 only"), n)
        self.starred = QToolButton(
            icon=icon("star"), checkable=True, accessibleName=self.tr("Only starred"), toolTip=self.tr("Only starred")
        )
        self.folder = self._combo(self.tr("Folder"))
        self.folder.addItem(self.tr("All folders"), "")
        self.folder.setMaximumWidth(200)
        self.more = QToolButton(
            icon=icon("more"),
            popupMode=QToolButton.ToolButtonPopupMode.InstantPopup,
            accessibleName=self.tr("Folders"),
            toolTip=self.tr("Folders"),
        )
        menu = QMenu(self)
        menu.addAction(icon("add"), self.tr("Add a folder…"), self.add_folder.emit)
        self._remove = menu.addAction(
            icon("close"), self.tr("Stop showing this folder"), lambda: self.remove_folder.emit(self.query().folder)
        )
        menu.addAction(icon("retry"), self.tr("Look through the folders again") + "\tF5", self.again.emit)
        self._users: list[str] = []
        menu.aboutToShow.connect(lambda: self._remove.setEnabled(self.query().folder in self._users))
        self.more.setMenu(menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE["s"])
        row.addWidget(self.search, 1)
        for widget in (self.sort, self.rating, self.starred, self.folder, self.more):
            row.addWidget(widget)
        self._typed = QTimer(self, singleShot=True, interval=120)
        self._typed.timeout.connect(self.changed)
        self.search.textChanged.connect(self._typed.start)
        for combo in (self.sort, self.rating, self.folder):
            combo.currentIndexChanged.connect(self.changed)
        self.starred.toggled.connect(self.changed)

    @staticmethod
    def _combo(name: str) -> QComboBox:
        combo = QComboBox(accessibleName=name, toolTip=name)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        return combo

    def query(self) -> Query:
        return Query(
            self.search.text(),
            self.rating.currentData() or 0,
            self.starred.isChecked(),
            self.folder.currentData() or "",
            self.sort.currentData(),
        )

    @property
    def filtered(self) -> bool:
        """Whether any filter is set."""
        return self.query() != Query(sort=self.query().sort)

    def set_sort(self, sort: str) -> None:
        self.sort.setCurrentIndex(max(0, self.sort.findData(sort)))

    def focus_search(self) -> None:
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()

    def clear(self) -> None:
        """Clear all filters."""
        with (
            QSignalBlocker(self.search),
            QSignalBlocker(self.rating),
            QSignalBlocker(self.starred),
            QSignalBlocker(self.folder),
        ):
            self.search.clear()
            self.rating.setCurrentIndex(0)
            self.starred.setChecked(False)
            self.folder.setCurrentIndex(0)
        self.changed.emit()

    def set_folders(self, folders: list[tuple[str, int]], users: list[str]) -> None:
        """The folders with images, and those the user added; the selected one stays selected."""
        self._users = users
        counts = dict(folders[:MAX_FOLDERS])
        now = self.query().folder
        everything = sorted({*counts, *users})
        above = os.path.commonpath(everything) if len(everything) > 1 and _one_drive(everything) else ""
        with QSignalBlocker(self.folder):
            while self.folder.count() > 1:
                self.folder.removeItem(1)
            for folder in everything:
                short = os.path.relpath(folder, above) if above and folder != above else Path(folder).name
                self.folder.addItem(
                    f"{short} ({QLocale().toString(counts[folder])})" if folder in counts else short, folder
                )
                self.folder.setItemData(self.folder.count() - 1, folder, Qt.ItemDataRole.ToolTipRole)
            self.folder.setCurrentIndex(max(0, self.folder.findData(now)))
        if self.query().folder != now:
            self.changed.emit()


def _one_drive(folders: list[str]) -> bool:
    return len({Path(f).drive for f in folders}) == 1


class SizeBar(QWidget):
    """The number of images, and their size."""

    changed = Signal(int)

    def __init__(self, side: int) -> None:
        super().__init__()
        self.count = QLabel()
        self.count.setProperty("role", "muted")
        self.slider = QSlider(
            Qt.Orientation.Horizontal,
            minimum=SIZES[0],
            maximum=SIZES[1],
            value=side,
            pageStep=32,
            singleStep=16,
            accessibleName=self.tr("Size of the thumbnails"),
            toolTip=self.tr("Size of the thumbnails"),
        )
        self.slider.setFixedWidth(120)
        self.slider.valueChanged.connect(self.changed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.count)
        row.addStretch()
        row.addWidget(self.slider)

    def set_count(self, count: int | None, *, scanning: bool) -> None:
        parts = [] if count is None else [self.tr("{count} images").format(count=QLocale().toString(count))]
        if scanning:
            parts.append(self.tr("looking…"))
        self.count.setText("  ·  ".join(parts))
        self.count.setToolTip(self.tr("Looking through the folders…") if scanning else "")


class EmptyState(QWidget):
    """What the page is for, or why nothing is shown, and what to do about it."""

    def __init__(self) -> None:
        super().__init__()
        self.title = QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter)
        self.title.setProperty("role", "title")
        self.text = QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter)
        self.button = QPushButton()
        self.button.setProperty("main", True)
        column = QVBoxLayout(self)
        column.setSpacing(SPACE["m"])
        column.addStretch(2)
        column.addWidget(self.title)
        column.addWidget(self.text)
        column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignCenter)
        column.addStretch(3)

    def show_reason(self, *, filtered: bool, scanning: bool) -> None:
        """``narrowed``: there may be images, but none matches the filters."""
        if filtered:
            self.title.setText(self.tr("No image matches"))
            self.text.setText(self.tr("Every word must occur in the prompt or the settings."))
            self.button.setText(self.tr("Show all images"))
        else:
            self.title.setText(
                self.tr("Looking through the folders…") if scanning else self.tr("Your images will be here")
            )
            self.text.setText(self.tr("Find, compare and rate what you made, and make more of what you like."))
            self.button.setText(self.tr("Make images"))
