"""The frame: side bar, pages, a quiet bar for news, and the status line."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QLocale, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QButtonGroup, QFrame, QHBoxLayout, QLabel, QMainWindow, QPushButton, QStackedWidget, QToolButton, QVBoxLayout, QWidget

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.engine import error_of
from commonart_desktop.gui.theme import ICON_SIZE, icon
from commonart_desktop.gui.tokens import SPACE
from engine.contract import events


class NoticeBar(QFrame):
    """News without a box: a sentence, what to do, one button; goes after a while unless it asks for something."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("notice")
        row = QHBoxLayout(self)
        row.setContentsMargins(SPACE["m"], SPACE["xs"], SPACE["s"], SPACE["xs"])
        self.text = QLabel(wordWrap=True, textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse)
        self.button = QPushButton()
        self.close_button = QToolButton(icon=icon("close"), accessibleName=self.tr("Close"), toolTip=self.tr("Close"))
        self.close_button.clicked.connect(self.hide)
        self.button.clicked.connect(self._act)
        row.addWidget(self.text, 1)
        row.addWidget(self.button)
        row.addWidget(self.close_button)
        self._do: Callable[[], None] | None = None
        self._timer = QTimer(self, singleShot=True, interval=12_000)
        self._timer.timeout.connect(self.hide)
        self.hide()

    def show_notice(self, text: str, hint: str, action: str, do: Callable[[], None] | None) -> None:
        self.text.setText(f"{text}　{hint}" if hint else text)
        self.button.setText(action)
        self.button.setVisible(bool(action))
        self._do = do
        self.show()
        if action:
            self._timer.stop()
        else:
            self._timer.start()

    def _act(self) -> None:
        self.hide()
        if self._do is not None:
            self._do()


class MainWindow(QMainWindow):
    """Pages by name, in the order of the side bar. ``closing`` is emitted when the user closes the window."""

    closing = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("CommonArt Desktop")
        self.setMinimumSize(1024, 640)
        self.pages: dict[str, QWidget] = {}
        self._stack = QStackedWidget()
        self._side = QFrame(objectName="side")
        self._buttons = QVBoxLayout(self._side)
        self._buttons.setContentsMargins(SPACE["s"], SPACE["m"], SPACE["s"], SPACE["m"])
        self._buttons.setSpacing(SPACE["s"])
        self._group = QButtonGroup(self, exclusive=True)
        self.notice = NoticeBar()
        self.status = QLabel()
        status = QFrame(objectName="status")
        line = QHBoxLayout(status)
        line.setContentsMargins(SPACE["m"], SPACE["xs"], SPACE["m"], SPACE["xs"])
        line.addWidget(self.status)
        line.addStretch()
        upper = QHBoxLayout()
        upper.setSpacing(0)
        upper.addWidget(self._side)
        upper.addWidget(self._stack, 1)
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(upper, 1)
        column.addWidget(self.notice)
        column.addWidget(status)
        self.setCentralWidget(whole)
        self._context: Context | None = None

    def add_page(self, name: str, title: str, icon_name: str, page: QWidget) -> None:
        """Put a page at the end of the side bar."""
        number = len(self.pages) + 1
        self.pages[name] = page
        self._stack.addWidget(page)
        button = QToolButton(text=title, checkable=True, icon=icon(icon_name), accessibleName=title, toolTip=f"{title} (Alt+{number})")
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setIconSize(button.iconSize().expandedTo(button.iconSize()) if ICON_SIZE is None else button.iconSize())
        button.setMinimumWidth(72)
        button.clicked.connect(lambda: self.go_to(name))
        QShortcut(QKeySequence(f"Alt+{number}"), self, activated=lambda: self.go_to(name))
        self._group.addButton(button)
        self._buttons.addWidget(button)
        if number == 1:
            button.setChecked(True)

    def finish(self, context: Context) -> None:
        """All pages are in: listen to the engine."""
        self._buttons.addStretch()
        self._context = context
        context.notices.asked.connect(self.notice.show_notice)
        context.engine.state.connect(self._show_status)
        context.engine.event.connect(self._on_event)
        timer = QTimer(self, interval=1000)
        timer.timeout.connect(self._show_status)
        timer.start()
        self._show_status()
        geometry = context.state.value("window/geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)
        else:
            self.resize(1280, 800)

    def go_to(self, name: str) -> None:
        """Show a page."""
        self._stack.setCurrentWidget(self.pages[name])
        self._group.buttons()[list(self.pages).index(name)].setChecked(True)

    def current(self) -> str:
        """The name of the page shown."""
        return next(n for n, p in self.pages.items() if p is self._stack.currentWidget())

    def _on_event(self, event: events.Event) -> None:
        assert self._context is not None
        if isinstance(event, events.Broken):
            text, hint = sentence(error_of(event))
            self._context.notices.say(text, hint, self.tr("Restart the engine"), lambda: self._context and self._context.engine.start(resume=True))
        elif isinstance(event, events.Paused) and event.error:
            from engine.contract.errors import from_wire

            self._context.notices.complain(from_wire(event.error))

    def _show_status(self, *_: object) -> None:
        context = self._context
        if context is None:
            return
        words = {"off": self.tr("engine off"), "starting": self.tr("engine starting"), "working": self.tr("engine working"),
                 "idle": self.tr("engine ready"), "paused": self.tr("paused"), "dead": self.tr("engine stopped")}
        marks = {"off": "○", "starting": "◐", "working": "●", "idle": "●", "paused": "‖", "dead": "!"}
        counts = context.ledger.counts()
        left = counts["waiting"] + counts["running"]
        parts = [f"{marks[context.engine.now]} {words[context.engine.now]}"]
        if context.engine.device:
            parts.append(context.engine.device)
        locale = QLocale()
        if left:
            parts.append(self.tr("{count} left").format(count=locale.toString(left)))
        pace = context.engine.pace()
        if pace:
            parts.append(self.tr("about {count} pictures/h").format(count=locale.toString(round(pace))))
            if left and context.engine.now == "working":
                done = time.localtime(time.time() + left / pace * 3600)
                parts.append(self.tr("done at about {time}").format(time=time.strftime("%H:%M", done)))
        self.status.setText("  ·  ".join(parts))

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._context is not None:
            self._context.state.setValue("window/geometry", self.saveGeometry())
            self._context.state.setValue("window/page", self.current())
        self.closing.emit()
        super().closeEvent(event)
