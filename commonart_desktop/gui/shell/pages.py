"""The pages of the side bar, in its order. A new page is one entry in ``PAGES``:

    Page("verify", QT_TRANSLATE_NOOP("pages", "Verify"), "verify", "verify.page:VerifyPage"),

``name`` is what ``context.go_to`` and the screenshots call it, ``title`` what people read (its Japanese stands in the ``.ts``
under ``pages``), ``icon`` a file of ``resources/icons``, and the last is module and class within ``commonart_desktop.gui.pages``:
a ``StagedPage`` (see ``widgets/staged_page.py``). The module is imported, in a thread, and the page built, part by part, when it is first shown, so it
costs nothing at the start. A page may have

- ``keep()``: store drafts and sizes in ``context.state``; called before the window goes or is built anew;
- a signal ``use_recipe`` (dict): the settings of a picture's recipe go to the Make page;
- a signal ``use_values`` (dict): values for the Make page's form, such as a LoRA and its model;
- a method ``busy() -> bool``: whether it still waits for a program, for the screenshots;
- a method ``shots() -> Iterator[str]``: brings it into further states and yields each one's name, for the screenshots too.

Its actions (QAction, buttons, fields with accessible names) are found by Ctrl+K and F1 by themselves: see ``commands.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

if TYPE_CHECKING:
    from commonart_desktop.gui.context import Context
    from commonart_desktop.gui.widgets.staged_page import StagedPage


@dataclass(frozen=True)
class Page:
    """One entry of the side bar. ``of`` is ``module:Class``; ``parts`` are classes of other pages that this one is handed."""

    name: str
    title: str
    icon: str
    of: str
    parts: tuple[str, ...] = ()

    def shown_as(self) -> str:
        """The title in the language in force."""
        return QCoreApplication.translate("pages", self.title)

    def load(self) -> Any:
        """Import its module."""
        for part in self.parts:
            _load(part)
        return _load(self.of)

    def begin(self, context: Context) -> StagedPage:
        """The page, still empty: its ``making`` is to be run."""
        page: StagedPage = _load(self.of)(context, *map(_load, self.parts), in_turns=True)
        return page


def _load(name: str) -> Any:
    """The class ``module:Class`` of ``commonart_desktop.gui.pages``."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(f"commonart_desktop.gui.pages.{module}"), attribute)


def load_all() -> None:
    """Import every page's module and read the words that Ctrl+K knows, so that none waits when first wanted. For a thread: no widget is made."""
    from commonart_desktop.gui.shell.command_palette import synonyms

    synonyms()
    for page in PAGES:
        page.load()


# Make, Pictures, Training, Models, Export, Evaluate, Verify, Settings: keep to this order
PAGES = (
    Page("make", QT_TRANSLATE_NOOP("pages", "Make"), "make", "make.page:MakePage"),
    Page(
        "pictures",
        QT_TRANSLATE_NOOP("pages", "Pictures"),
        "pictures",
        "gallery.page:GalleryPage",
        parts=("verify.gallery_section:ProvenancePanel",),
    ),
    Page("train", QT_TRANSLATE_NOOP("pages", "Train"), "train", "train.page:TrainPage"),
    Page("models", QT_TRANSLATE_NOOP("pages", "Models"), "models", "models.page:ModelsPage"),
    Page("export", QT_TRANSLATE_NOOP("pages", "Export"), "export", "export.page:ExportPage"),
    Page("evaluate", QT_TRANSLATE_NOOP("pages", "Evaluate"), "evaluate", "evaluate.page:EvaluatePage"),
    Page("verify", QT_TRANSLATE_NOOP("pages", "Verify"), "verify", "verify.page:VerifyPage"),
    Page("settings", QT_TRANSLATE_NOOP("pages", "Settings"), "settings", "settings.page:SettingsPage"),
)
