"""Beside the thumbnail grid: the selected image's actions, its recipe, and sections that other modules add.

A section is any widget with a method ``show_image(path: Path | None)``. ``SidePanel.add_section(title, widget)`` puts
it below the recipe under its title, in the same scrolling column, and owns it from then on. Whenever the selection
changes, and once when the section is added, ``show_image`` is called in the window's thread with the one selected
image's path, or with None where none or several are selected (the section is then hidden). It must return at once:
reading and verifying belong in a thread, and an answer that comes when another image is shown belongs nowhere.
``GalleryPage.side`` is the panel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.gui.pages.gallery.index import Chosen
from commonart_desktop.gui.pages.gallery.recipe_view import RecipeView
from commonart_desktop.gui.style.tokens import SPACE

NO_CHOICE = Chosen()


class Section(Protocol):
    """What ``add_section`` takes, beside being a QWidget. ``title`` is for sections that another page contributes."""

    def title(self) -> str: ...

    def show_image(self, path: Path | None) -> None: ...


class SidePanel(QWidget):
    """``rated`` when a rating is chosen here."""

    rated = Signal(int)

    def __init__(self, actions: dict[str, QAction]) -> None:
        super().__init__()
        self.recipe = RecipeView()
        self._chosen = NO_CHOICE
        self._sections: list[tuple[QWidget, Section]] = []  # including its frame
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["s"], 0, 0, 0)
        column.setSpacing(SPACE["s"])
        for name in ("use", "variations"):
            button = QPushButton(actions[name].text(), toolTip=actions[name].toolTip())
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.setProperty("main", name == "use")
            button.clicked.connect(actions[name].trigger)
            button.setEnabled(actions[name].isEnabled())
            actions[name].enabledChanged.connect(button.setEnabled)
            column.addWidget(button)
        row = QHBoxLayout()
        row.setSpacing(0)
        for name in ("star", "compare", "copy_prompt", "copy", "folder", "trash"):
            tool = QToolButton()
            tool.setDefaultAction(actions[name])
            tool.setAccessibleName(actions[name].text())
            row.addWidget(tool)
        row.addStretch()
        self.rating = QComboBox(accessibleName=self.tr("Rating"), toolTip=self.tr("Rating (0 to 5)"))
        for n in range(6):
            self.rating.addItem("–" if n == 0 else f"{n} / 5", n)
        self.rating.activated.connect(lambda n: self.rated.emit(n))
        row.addWidget(self.rating)
        column.addLayout(row)
        body = QWidget()
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(0, 0, SPACE["s"], 0)
        self._column.setSpacing(SPACE["l"])
        self._column.addWidget(self.recipe)
        self._column.addStretch()
        area = QScrollArea(widgetResizable=True, frameShape=QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(body)
        column.addWidget(area, 1)
        self.setMinimumWidth(240)
        self.recipe.show_chosen(NO_CHOICE)

    def add_section(self, title: str, widget: QWidget) -> None:
        """Add a section below the recipe: see the module's docstring."""
        frame = QWidget()
        inner = QVBoxLayout(frame)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(SPACE["xs"])
        head = QLabel(title, wordWrap=True)
        head.setProperty("role", "section")
        inner.addWidget(head)
        inner.addWidget(widget)
        self._column.insertWidget(self._column.count() - 1, frame)  # before the stretch
        self._sections.append((frame, cast(Section, widget)))
        self._notify_sections()

    def show_chosen(self, chosen: Chosen) -> None:
        """Set the selection; called again with the same one after a rating, which does not change the text."""
        self.rating.setEnabled(bool(chosen.images))
        self.rating.setCurrentIndex(chosen.images[0].rating if chosen.images else 0)
        same = _shown_facts(chosen) == _shown_facts(self._chosen)
        self._chosen = chosen
        if not same:  # else selected text stays selected
            self.recipe.show_chosen(chosen)
            self._notify_sections()

    def _notify_sections(self) -> None:
        one = Path(self._chosen.images[0].path) if len(self._chosen.ids) == 1 and self._chosen.images else None
        for frame, section in self._sections:
            frame.setVisible(one is not None)
            section.show_image(one)


def _shown_facts(chosen: Chosen) -> tuple[object, ...]:
    one = chosen.images[0] if chosen.images else None
    return (len(chosen.ids), one and (one.path, one.mtime), chosen.prompt, chosen.text)
