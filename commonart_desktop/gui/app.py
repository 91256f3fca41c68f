"""The composition root of the window: builds every object and passes it down."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QEvent, QLibraryInfo, QLocale, QObject, QSettings, QTimer, QTranslator
from PySide6.QtNetwork import QLocalServer, QLocalSocket
from PySide6.QtWidgets import QApplication, QMessageBox

from commonart_desktop.core import i18n
from commonart_desktop.core.ledger import open_ledger
from commonart_desktop.gui.background.incremental import IncrementalBuild, Steps, at_once
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.background.training_runs import TrainingRuns
from commonart_desktop.gui.background.worker_process import WorkerProcess
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.notices import Notices
from commonart_desktop.gui.settings_store import SettingsStore
from commonart_desktop.gui.shell.gc_timer import GcTimer
from commonart_desktop.gui.shell.ime_guard import ImeGuard
from commonart_desktop.gui.shell.main_window import LEAVE, MainWindow
from commonart_desktop.gui.shell.pages import PAGES, load_all
from commonart_desktop.gui.shell.quit_signals import QuitSignals
from commonart_desktop.gui.style import theme
from engine.contract.errors import CommonArtError, Phrase
from engine.contract.paths import home, resources
from engine.contract.recipe import request_of

LOAD_AFTER = 500  # ms after the window is there


class Application(QObject):
    """Owns the ledger, the engine and the window, and makes the window anew when the language changes."""

    def __init__(self, app: QApplication, *, backend: str | None = None) -> None:
        super().__init__()
        self._app = app
        self._tidy = GcTimer(self)
        self._translators: list[QTranslator] = []
        self.settings = SettingsStore()
        self.state = QSettings(str(home() / "window.ini"), QSettings.Format.IniFormat)
        _export_ui_language()
        self._speak()
        theme.apply(app, self.settings.now.theme, self._zoom())
        self._guard = ImeGuard(app)
        self.ledger, rescued = open_ledger()
        self.engine = WorkerProcess(self.ledger, self.settings, backend=backend)
        self.notices = Notices()
        self.trainings = TrainingRuns(self.ledger, self.engine, self.settings, self.notices, self.state)
        if self.trainings.queue_held():  # for a training, perhaps of an earlier start, that may be over
            self.trainings.refresh()
        self._work: IncrementalBuild | None = None  # what is changing the looks
        self.window = self._begin()
        at_once(self._furnish(self.window))
        self._shown_as = self._looks()
        self.settings.changed.connect(self._on_settings)
        app.styleHints().colorSchemeChanged.connect(self._on_scheme)
        if rescued is not None:
            self.notices.say(
                i18n.tr(
                    "The queue was damaged. It is kept as {path}; {count} image(s) were saved from it.",
                    path=rescued[0],
                    count=rescued[1],
                )
            )
        elif self.settings.read.errors:
            self.notices.complain(self.settings.read.errors[0])
        elif (remark := self.settings.read.remark()) is not None:
            self.notices.say(i18n.say(remark))
        self.settings.kept.connect(
            lambda path: self.notices.say(
                i18n.say(Phrase("The settings file that could not be read is kept as {path}.", path=path))
            )
        )

    def _zoom(self) -> float:
        """Size of the letters, 1 as designed."""
        try:
            return min(2.0, max(0.75, float(str(self.state.value(theme.ZOOM, "1")))))
        except ValueError:
            return 1.0

    def _looks(self) -> tuple[str, str, float]:
        return self.settings.now.language, self.settings.now.theme, self._zoom()

    def _speak(self) -> None:
        """Qt's own words and ours, in the language of the settings or the system."""
        i18n.language.cache_clear()
        lang = i18n.language()
        for old in self._translators:
            self._app.removeTranslator(old)
        self._translators = []
        QLocale.setDefault(QLocale(lang))
        places = (
            (f"qtbase_{lang}", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)),
            (f"commonart_{lang}", str(resources() / "translations")),
        )
        for name, folder in places:
            translator = QTranslator(self)
            if translator.load(name, folder):
                self._app.installTranslator(translator)
                self._translators.append(translator)

    def _begin(self) -> MainWindow:
        """A window without a page."""
        window = MainWindow()
        context = Context(
            self.ledger, self.engine, self.trainings, self.settings, self.notices, self.state, window.go_to
        )
        for page in PAGES:
            window.add_page(page.name, page.shown_as(), page.icon, lambda page=page: page.begin(context), page.load)
        window.stack.built.connect(lambda _, page: hasattr(page, "use_recipe") and page.use_recipe.connect(self._use))
        window.stack.built.connect(
            lambda _, page: (
                hasattr(page, "use_values")
                and page.use_values.connect(
                    lambda values: self.window.stack.prepare("make", lambda make: make.compose.form.fill(values))
                )
            )
        )
        window.finish(context)
        return window

    def _furnish(self, window: MainWindow) -> Steps:
        """The page of the last time, and the looks."""
        name = str(self.state.value("window/page", ""))
        name = name if name in window.titles else PAGES[0].name
        yield from window.first_page(name)
        yield from window.dress()

    def _use(self, recipe: dict[str, Any]) -> None:
        """Settings of a picture go to the Make page."""
        try:
            asked = request_of(recipe)
        except CommonArtError as e:
            self.notices.complain(e)
            return
        self.window.stack.prepare("make", lambda make: make.compose.use_request(asked))

    def _on_scheme(self, *_: object) -> None:
        """The system went dark or light."""
        self._change(self._recolour())

    def _on_settings(self) -> None:
        now, before = self._looks(), self._shown_as
        if now == before or self._work is not None:
            return  # what is at work looks again when it is over
        self._shown_as = now
        self._change(self._recolour() if (now[0], now[2]) == (before[0], before[2]) else self._renew())

    def _change(self, steps: Steps) -> None:
        """Change the looks in turns, one change after the other."""
        self.settle()
        self._work = IncrementalBuild(steps, self)
        self._work.over.connect(self._changed)

    def _changed(self) -> None:
        self._work = None
        self._on_settings()

    def settle(self) -> None:
        """Whatever is changing the looks is done at once."""
        while self._work is not None:
            self._work.finish()

    def _recolour(self) -> Steps:
        """Other colours."""
        theme.apply(self._app, self.settings.now.theme, self._zoom())
        yield from self.window.dress()

    def _renew(self) -> Steps:
        """Another language, or letters of another size: texts and sizes are set where a widget is made, so the window is made anew, in turns, behind
        the still picture of the old one, whose pages have gone by then."""
        old, shown = self.window, self.window.isVisible()
        deaf = InputBlocker(old)
        self._app.installEventFilter(deaf)
        try:
            yield from old.clear_away()
            theme.apply(self._app, self.settings.now.theme, self._zoom())
            self._speak()
            yield
            window = self._begin()
            yield
            yield from self._furnish(window)
            window.layout().activate()
            yield
        finally:
            self._app.removeEventFilter(deaf)
        self.window = window
        parts = window.stack.uncover()
        next(parts)
        if shown:
            window.show()
        yield
        yield from parts
        old.hide()
        old.deleteLater()

    def load_ahead(self) -> None:
        """When the window has come to rest, make the finder, and load the pages' modules in a thread; the interpreter's end waits for that."""
        QTimer.singleShot(LOAD_AFTER // 2, self, lambda: self.window.finding.ready())
        QTimer.singleShot(
            LOAD_AFTER, self, lambda: Task(self, lambda task: load_all(), name="pages", finish_at_exit=True)
        )

    def raise_window(self) -> None:
        """Bring the window to the front: a second start of the program asks for it."""
        self.window.showNormal()
        self.window.raise_()
        self.window.activateWindow()

    def close(self, *, leave_working: bool) -> None:
        """End: keep drafts, and the engine at work if so wished."""
        self.settle()
        self._tidy.stop()
        self.window.keep()
        self.window.rest()
        self.state.sync()
        self.trainings.shut()
        self.engine.shut(leave_working=leave_working)
        self.ledger.close()


class InputBlocker(QObject):
    """A window that is about to go takes no keys and clicks: what they would change has been kept already."""

    _EVENTS = frozenset(
        (
            QEvent.Type.KeyPress,
            QEvent.Type.KeyRelease,
            QEvent.Type.Shortcut,
            QEvent.Type.ShortcutOverride,
            QEvent.Type.InputMethod,
            QEvent.Type.MouseButtonPress,
            QEvent.Type.MouseButtonRelease,
            QEvent.Type.MouseButtonDblClick,
            QEvent.Type.Wheel,
            QEvent.Type.Drop,
            QEvent.Type.ContextMenu,
        )
    )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        return event.type() in self._EVENTS


def _export_ui_language() -> None:
    """macOS and Windows tell Qt the user's language, but not by the environment, where the rest of the program looks."""
    if not any(os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG")):
        os.environ["LANG"] = (QLocale.system().uiLanguages() or ["en"])[0].replace("-", "_")


def _server_name() -> str:
    return "commonart-" + hashlib.sha256(str(home().absolute()).encode()).hexdigest()[:16]


def _already_open() -> bool:
    """Whether another window works with the same data; it is asked to come to the front."""
    socket = QLocalSocket()
    socket.connectToServer(_server_name())
    if not socket.waitForConnected(300):
        return False
    socket.write(b"raise\n")
    socket.waitForBytesWritten(300)
    socket.disconnectFromServer()
    return True


def main(argv: Sequence[str]) -> int:
    """Run the window; returns the exit status."""
    app = QApplication([sys.argv[0], *argv])
    app.setApplicationName("CommonArt Desktop")
    app.setDesktopFileName("commonart-desktop")
    QuitSignals(app.exit, app)
    if _already_open():
        return 0
    server = QLocalServer()
    QLocalServer.removeServer(_server_name())
    server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
    server.listen(_server_name())
    try:
        whole = Application(app)
    except CommonArtError as e:
        text, hint = i18n.sentence(e)
        print(f"commonart: {text}\n  {hint}", file=sys.stderr)
        if app.platformName() not in ("offscreen", "minimal"):  # nobody could close it there
            QMessageBox.critical(None, "CommonArt Desktop", f"{text}\n\n{hint}")
        return e.exit_status

    def asked() -> None:
        while (caller := server.nextPendingConnection()) is not None:
            caller.disconnected.connect(caller.deleteLater)
        whole.raise_window()

    server.newConnection.connect(asked)
    whole.window.show()
    whole.load_ahead()
    status = app.exec()
    leave = str(whole.state.value(LEAVE, "false")) == "true" and whole.engine.now == "working"
    whole.close(leave_working=leave)
    server.close()
    return status
