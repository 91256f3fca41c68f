"""What the finder is given: the deeds of the page shown at once, those of the other pages in turns, built for it where they were never shown."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QWidget

from commonart_desktop.gui.shell.command_palette import CommandPalette
from commonart_desktop.gui.shell.commands import Command, commands_of
from commonart_desktop.gui.shell.page_stack import PageStack
from commonart_desktop.gui.style.theme import apply_style

_NEXT = 1  # ms to the next page: keys and painting come in between


class CommandIndex(QObject):
    """``everywhere`` tells what can be done on any page; ``go_to`` shows a page."""

    def __init__(
        self, window: QWidget, stack: PageStack, everywhere: Callable[[], list[Command]], go_to: Callable[[str], None]
    ) -> None:
        super().__init__(window)
        self._window, self._stack, self._everywhere, self._go_to = window, stack, everywhere, go_to
        self.finder: CommandPalette | None = None  # made when it is first wanted
        self.unlisted: list[str] = []  # pages that the finder does not know yet
        self._listing: Callable[[Command], bool] = lambda deed: True  # what it wants of them
        stack.opened.connect(self._on_opened)

    def deeds(self) -> list[Command]:
        """What can be done on the page shown, then everywhere."""
        here = self._stack.wanted()
        found = list(commands_of(self._stack.pages[here], here)) if here in self._stack.pages else []
        return found + self._everywhere()

    def ready(self) -> CommandPalette:
        """The finder, made if it was not there yet; not shown."""
        if self.finder is None:
            self.finder = CommandPalette(self._window)
            apply_style(self.finder)
            self.finder.chosen.connect(self._do)
        return self.finder

    def open(self, title: str, hint: str, listing: Callable[[Command], bool]) -> None:
        """Show it, with the deeds that ``listing`` wants."""
        if self.finder is None:  # made in a turn and shown in another

            def made() -> None:
                self.ready()
                QTimer.singleShot(_NEXT, self, lambda: self.open(title, hint, listing))

            QTimer.singleShot(_NEXT, self, made)
            return
        finder = self.finder
        self._listing = listing
        self.unlisted = [n for n in self._stack.titles if n in self._stack.pages and n != self._stack.wanted()]
        finder.open(title, hint, [d for d in self.deeds() if listing(d)], self._stack.titles)
        QTimer.singleShot(_NEXT, self, self._list_more)  # once it is on the screen

    def _open(self) -> bool:
        return self.finder is not None and self.finder.isVisible()

    def _on_opened(self, name: str) -> None:
        if self._open():
            self.unlisted.append(name)
            QTimer.singleShot(_NEXT, self, self._list_more)

    def _list_more(self) -> None:
        """One page after the other while the finder is open, so that it knows all."""
        if self.finder is None or not self._open():
            return
        if self.unlisted:
            name = self.unlisted.pop(0)
            self.finder.add([d for d in commands_of(self._stack.pages[name], name) if self._listing(d)])
            QTimer.singleShot(_NEXT, self, self._list_more)
        elif self._stack.settled():
            left = self._stack.missing()
            if left is not None:
                self._stack.open(left)  # told of when it is there

    def _do(self, deed: Command) -> None:
        if deed.page:
            self._go_to(deed.page)  # it is there: the deed is its own
        deed.run()
