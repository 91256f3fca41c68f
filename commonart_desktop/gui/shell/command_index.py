"""Fills the command palette: the commands of the page shown at once, those of the other pages one after the other.

Pages that were never shown are built for it.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QWidget

from commonart_desktop.gui.shell.command_palette import CommandPalette
from commonart_desktop.gui.shell.commands import Command, commands_of
from commonart_desktop.gui.shell.page_stack import PageStack
from commonart_desktop.gui.style.theme import apply_style

_NEXT = 1  # ms to the next page: keys and painting are handled in between


class CommandIndex(QObject):
    """``everywhere`` returns the commands that work on any page; ``go_to`` shows a page."""

    def __init__(
        self, window: QWidget, stack: PageStack, everywhere: Callable[[], list[Command]], go_to: Callable[[str], None]
    ) -> None:
        super().__init__(window)
        self._window, self._stack, self._everywhere, self._go_to = window, stack, everywhere, go_to
        self.palette: CommandPalette | None = None  # created when first needed
        self.unlisted: list[str] = []  # pages whose commands are not in the palette yet
        self._filter: Callable[[Command], bool] = lambda command: True  # which of them are listed
        stack.opened.connect(self._on_opened)

    def commands(self) -> list[Command]:
        """The commands of the page shown, then those that work everywhere."""
        here = self._stack.current_name()
        commands = list(commands_of(self._stack.pages[here], here)) if here in self._stack.pages else []
        return commands + self._everywhere()

    def create_palette(self) -> CommandPalette:
        """The palette, created if necessary; not shown."""
        if self.palette is None:
            self.palette = CommandPalette(self._window)
            apply_style(self.palette)
            self.palette.chosen.connect(self._run)
        return self.palette

    def open(self, title: str, hint: str, listing: Callable[[Command], bool]) -> None:
        """Show the palette with the commands that pass ``listing``."""
        if self.palette is None:  # created in one event-loop turn and shown in another

            def create() -> None:
                self.create_palette()
                QTimer.singleShot(_NEXT, self, lambda: self.open(title, hint, listing))

            QTimer.singleShot(_NEXT, self, create)
            return
        palette = self.palette
        self._filter = listing
        self.unlisted = [n for n in self._stack.titles if n in self._stack.pages and n != self._stack.current_name()]
        palette.open(title, hint, [c for c in self.commands() if listing(c)], self._stack.titles)
        QTimer.singleShot(_NEXT, self, self._list_more)  # once it is on the screen

    def _is_open(self) -> bool:
        return self.palette is not None and self.palette.isVisible()

    def _on_opened(self, name: str) -> None:
        if self._is_open():
            self.unlisted.append(name)
            QTimer.singleShot(_NEXT, self, self._list_more)

    def _list_more(self) -> None:
        """Add the commands of one page after the other while the palette is open."""
        if self.palette is None or not self._is_open():
            return
        if self.unlisted:
            name = self.unlisted.pop(0)
            self.palette.add([c for c in commands_of(self._stack.pages[name], name) if self._filter(c)])
            QTimer.singleShot(_NEXT, self, self._list_more)
        elif self._stack.settled():
            left = self._stack.next_unbuilt()
            if left is not None:
                self._stack.open(left)  # ``opened`` is emitted when it is built

    def _run(self, command: Command) -> None:
        if command.page:
            self._go_to(command.page)  # built already: the command is its own
        command.run()
