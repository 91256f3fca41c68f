"""What happens when the queue is empty: nothing, a message, sleep, shutting down, or a command."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit, QSizePolicy, QSystemTrayIcon, QWidget

from commonart_desktop.core import after
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import SPACE
from engine.contract import events

GRACE = 30  # seconds in which sleep and shutdown can be called off


class AfterQueue(QWidget):
    """The choice, which is carried out once when the queue has run empty.

    It is saved in ``queue/then`` and ``queue/command``.
    """

    def __init__(self, context: Context, nothing_waits: Callable[[], bool]) -> None:
        super().__init__()
        self._context, self._nothing_waits = context, nothing_waits
        self._worked = False
        self._tray: QSystemTrayIcon | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE["s"])
        label = QLabel(self.tr("When all is done:"))
        self.choice = QComboBox(accessibleName=self.tr("When all is done"))
        for name, text in (
            ("nothing", self.tr("do nothing")),
            ("notify", self.tr("notify me")),
            ("sleep", self.tr("put the computer to sleep")),
            ("shutdown", self.tr("shut the computer down")),
            ("command", self.tr("run a command")),
        ):
            self.choice.addItem(text, name)
        self.choice.setCurrentIndex(max(0, self.choice.findData(str(context.state.value("queue/then", "nothing")))))
        self.command = QLineEdit(
            str(context.state.value("queue/command", "")),
            placeholderText=self.tr("command line"),
            accessibleName=self.tr("Command to run when all is done"),
        )
        self.command.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        row.addWidget(label)
        row.addWidget(self.choice)
        row.addWidget(self.command, 1)
        row.addStretch()
        self._grace = QTimer(self, singleShot=True, interval=GRACE * 1000)
        self._grace.timeout.connect(self._act)
        self.choice.currentIndexChanged.connect(self._on_choice)
        self.command.textChanged.connect(lambda text: context.state.setValue("queue/command", text))
        self.command.setVisible(self.then == "command")
        context.engine.event.connect(self._on_event)

    @property
    def then(self) -> str:
        return str(self.choice.currentData())

    def _on_choice(self) -> None:
        self._context.state.setValue("queue/then", self.then)
        self.command.setVisible(self.then == "command")
        self._grace.stop()

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, (events.Saved, events.Failed)):
            self._worked = True
            self._grace.stop()
        elif isinstance(event, events.Idle) and self._worked and self._nothing_waits():
            self._worked = False
            self._begin()

    def _begin(self) -> None:
        if self.then in ("sleep", "shutdown"):
            text = (
                self.tr("The queue is done. The computer goes to sleep in {count} seconds.")
                if self.then == "sleep"
                else self.tr("The queue is done. The computer is shut down in {count} seconds.")
            )
            self._context.notices.say(
                text.format(count=self._grace.interval() // 1000), action=self.tr("Keep it on"), do=self._grace.stop
            )
            self._grace.start()
        elif self.then == "notify":
            self._notify()
        elif self.then == "command" and self.command.text().strip():
            self._act()

    def _act(self) -> None:
        what = self.then if self.then in ("sleep", "shutdown") else self.command.text().strip()
        Task(self, lambda task: after.do(what), done=self._on_done, failed=self._context.notices.complain)

    def _on_done(self, status: int) -> None:
        if status:
            self._context.notices.say(
                self.tr("The command to run when the queue is empty ended with status {status}.").format(status=status)
            )

    def _notify(self) -> None:
        text = self.tr("All images of the queue are made.")
        if QSystemTrayIcon.isSystemTrayAvailable():
            self._tray = self._tray or QSystemTrayIcon(theme.icon("done"), self)
            self._tray.show()
            self._tray.showMessage("CommonArt Desktop", text)
            QTimer.singleShot(15_000, self._tray, self._tray.hide)
        else:
            self._context.notices.say(
                text, action=self.tr("Show the images"), do=lambda: self._context.go_to("pictures")
            )
