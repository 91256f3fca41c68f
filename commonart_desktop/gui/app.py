"""The composition root of the window: builds every object and passes it down."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QLibraryInfo, QLocale, QObject, QSettings, QTimer, QTranslator
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
from commonart_desktop.gui.shell.input_blocker import InputBlocker
from commonart_desktop.gui.shell.main_window import LEAVE, MainWindow
from commonart_desktop.gui.shell.pages import PAGES, load_all
from commonart_desktop.gui.shell.quit_signals import QuitSignals
from commonart_desktop.gui.style import theme
from engine.contract.errors import CommonArtError, Phrase
from engine.contract.paths import home, resources
from engine.contract.recipe import request_of

LOAD_AFTER = 500  # ms after the window is shown


class Application(QObject):
    """Owns the ledger, the engine and the window; rebuilds the window when the language changes."""

    def __init__(self, app: QApplication, *, backend: str | None = None) -> None:
        super().__init__()
        self._app = app
        self._gc_timer = GcTimer(self)
        self._translators: list[QTranslator] = []
        self.settings = SettingsStore()
        self.state = QSettings(str(home() / "window.ini"), QSettings.Format.IniFormat)
        _export_ui_language()
        self._load_translations()
        theme.apply(app, self.settings.now.theme, self._zoom())
        self._guard = ImeGuard(app)
        self.ledger, rescued = open_ledger()
        self.engine = WorkerProcess(self.ledger, self.settings, backend=backend)
        self.notices = Notices()
        self.trainings = TrainingRuns(self.ledger, self.engine, self.settings, self.notices, self.state)
        if self.trainings.queue_held():  # by a training, perhaps of an earlier session, that may be over
            self.trainings.refresh()
        self._change_in_progress: IncrementalBuild | None = None  # changes the appearance
        self.window = self._create_window()
        at_once(self._fill_window(self.window))
        self._appearance_shown = self._appearance()
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
        """Factor of the text size, 1 as designed."""
        try:
            return min(2.0, max(0.75, float(str(self.state.value(theme.ZOOM, "1")))))
        except ValueError:
            return 1.0

    def _appearance(self) -> tuple[str, str, float]:
        return self.settings.now.language, self.settings.now.theme, self._zoom()

    def _load_translations(self) -> None:
        """Install Qt's translations and ours, in the language of the settings or the system."""
        i18n.language.cache_clear()
        lang = i18n.language()
        for old in self._translators:
            self._app.removeTranslator(old)
        self._translators = []
        QLocale.setDefault(QLocale(lang))
        catalogues = (
            (f"qtbase_{lang}", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)),
            (f"commonart_{lang}", str(resources() / "translations")),
        )
        for name, folder in catalogues:
            translator = QTranslator(self)
            if translator.load(name, folder):
                self._app.installTranslator(translator)
                self._translators.append(translator)

    def _create_window(self) -> MainWindow:
        """A window without pages built."""
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

    def _fill_window(self, window: MainWindow) -> Steps:
        """The page of the last session, and the theme."""
        name = str(self.state.value("window/page", ""))
        name = name if name in window.titles else PAGES[0].name
        yield from window.first_page(name)
        yield from window.apply_theme()

    def _use(self, recipe: dict[str, Any]) -> None:
        """Put the settings of an image into the form of the Make page."""
        try:
            request = request_of(recipe)
        except CommonArtError as e:
            self.notices.complain(e)
            return
        self.window.stack.prepare("make", lambda make: make.compose.use_request(request))

    def _on_scheme(self, *_: object) -> None:
        """The system's colour scheme changed."""
        self._change(self._restyle())

    def _on_settings(self) -> None:
        now, before = self._appearance(), self._appearance_shown
        if now == before or self._change_in_progress is not None:
            return  # a change in progress checks again when it is over
        self._appearance_shown = now
        self._change(self._restyle() if (now[0], now[2]) == (before[0], before[2]) else self._rebuild())

    def _change(self, steps: Steps) -> None:
        """Change the appearance incrementally, one change after the other."""
        self.settle()
        self._change_in_progress = IncrementalBuild(steps, self)
        self._change_in_progress.over.connect(self._on_changed)

    def _on_changed(self) -> None:
        self._change_in_progress = None
        self._on_settings()

    def settle(self) -> None:
        """Finish a pending change of the appearance synchronously."""
        while self._change_in_progress is not None:
            self._change_in_progress.finish()

    def _restyle(self) -> Steps:
        """Apply other colours."""
        theme.apply(self._app, self.settings.now.theme, self._zoom())
        yield from self.window.apply_theme()

    def _rebuild(self) -> Steps:
        """Replace the window, for another language or text size, which are set where a widget is created.

        It is built incrementally while the old one, its pages deleted, is still shown with painting suspended.
        """
        old, shown = self.window, self.window.isVisible()
        blocker = InputBlocker(old)
        self._app.installEventFilter(blocker)
        try:
            yield from old.tear_down()
            theme.apply(self._app, self.settings.now.theme, self._zoom())
            self._load_translations()
            yield
            window = self._create_window()
            yield
            yield from self._fill_window(window)
            window.layout().activate()
            yield
        finally:
            self._app.removeEventFilter(blocker)
        self.window = window
        parts = window.stack.reveal()
        next(parts)
        if shown:
            window.show()
        yield
        yield from parts
        old.hide()
        old.deleteLater()

    def preload(self) -> None:
        """Once the window is idle, create the command palette and import the pages' modules in a thread.

        The interpreter's end waits for that thread.
        """
        QTimer.singleShot(LOAD_AFTER // 2, self, lambda: self.window.command_index.create_palette())
        QTimer.singleShot(
            LOAD_AFTER, self, lambda: Task(self, lambda task: load_all(), name="pages", finish_at_exit=True)
        )

    def raise_window(self) -> None:
        """Bring the window to the front, as a second start of the program requests."""
        self.window.showNormal()
        self.window.raise_()
        self.window.activateWindow()

    def close(self, *, leave_working: bool) -> None:
        """Store drafts and end; ``leave_working``: the engine goes on."""
        self.settle()
        self._gc_timer.stop()
        self.window.keep()
        self.window.detach()
        self.state.sync()
        self.trainings.shut()
        self.engine.shut(leave_working=leave_working)
        self.ledger.close()


def _export_ui_language() -> None:
    """macOS and Windows report the user's language to Qt, but not in the environment, where the core reads it."""
    if not any(os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG")):
        os.environ["LANG"] = (QLocale.system().uiLanguages() or ["en"])[0].replace("-", "_")


def _server_name() -> str:
    return "commonart-" + hashlib.sha256(str(home().absolute()).encode()).hexdigest()[:16]


def _already_open() -> bool:
    """Whether another window uses the same data; that one is brought to the front."""
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
        application = Application(app)
    except CommonArtError as e:
        text, hint = i18n.sentence(e)
        print(f"commonart: {text}\n  {hint}", file=sys.stderr)
        if app.platformName() not in ("offscreen", "minimal"):  # nobody could close a dialog there
            QMessageBox.critical(None, "CommonArt Desktop", f"{text}\n\n{hint}")
        return e.exit_status

    def on_connection() -> None:
        while (socket := server.nextPendingConnection()) is not None:
            socket.disconnected.connect(socket.deleteLater)
        application.raise_window()

    server.newConnection.connect(on_connection)
    application.window.show()
    application.preload()
    status = app.exec()
    leave = str(application.state.value(LEAVE, "false")) == "true" and application.engine.now == "working"
    application.close(leave_working=leave)
    server.close()
    return status
