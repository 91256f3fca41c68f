"""The composition root of the window: builds every object and passes it down."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QLibraryInfo, QLocale, QObject, QSettings, QTimer, QTranslator
from PySide6.QtNetwork import QLocalServer, QLocalSocket
from PySide6.QtWidgets import QApplication, QMessageBox

from commonart_desktop.core import i18n
from commonart_desktop.core.home import home, resources
from commonart_desktop.core.ledger import open_ledger
from commonart_desktop.gui import theme
from commonart_desktop.gui.composition import CompositionGuard
from commonart_desktop.gui.context import Context, Notices, SettingsStore
from commonart_desktop.gui.engine import Engine
from commonart_desktop.gui.main_window import LEAVE, MainWindow
from commonart_desktop.gui.pages import PAGES, load_all
from engine.contract.errors import CommonArtError
from engine.contract.recipe import request_of

LOAD_AFTER = 500  # ms after the window is there


class Application(QObject):
    """Owns the ledger, the engine and the window, and makes the window anew when the language changes."""

    def __init__(self, app: QApplication, *, backend: str | None = None) -> None:
        super().__init__()
        self._app = app
        self._translators: list[QTranslator] = []
        self.settings = SettingsStore()
        self.state = QSettings(str(home() / "window.ini"), QSettings.Format.IniFormat)
        _name_the_language()
        self._speak()
        theme.apply(app, self.settings.now.theme, self._zoom())
        self._guard = CompositionGuard(app)
        self.ledger, rescued = open_ledger()
        self.engine = Engine(self.ledger, self.settings, backend=backend)
        self.notices = Notices()
        self.window = self._build()
        theme.dress(self.window)
        self._shown_as = self._looks()
        self.settings.changed.connect(self._on_settings)
        app.styleHints().colorSchemeChanged.connect(self._on_scheme)
        if rescued is not None:
            self.notices.say(i18n.tr("The queue was damaged. It is kept as {path}; {count} picture(s) were saved from it.",
                                     path=rescued[0], count=rescued[1]))
        elif self.settings.trouble is not None:
            self.notices.complain(self.settings.trouble)

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
        places = ((f"qtbase_{lang}", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)), (f"commonart_{lang}", str(resources() / "translations")))
        for name, folder in places:
            translator = QTranslator(self)
            if translator.load(name, folder):
                self._app.installTranslator(translator)
                self._translators.append(translator)

    def _build(self) -> MainWindow:
        window = MainWindow()
        context = Context(self.ledger, self.engine, self.settings, self.notices, self.state, window.go_to)
        for page in PAGES:
            window.add_page(page.name, page.shown_as(), page.icon, lambda page=page: page.build(context), page.load)
        window.built.connect(lambda _, page: hasattr(page, "use_recipe") and page.use_recipe.connect(self._use))
        window.built.connect(lambda _, page: hasattr(page, "use_values") and page.use_values.connect(
            lambda values: self.window.page("make").compose.form.fill(values)))  # type: ignore[attr-defined]
        window.finish(context)
        name = str(self.state.value("window/page", ""))
        window.go_to(name if name in window.titles else PAGES[0].name)
        return window

    def _use(self, recipe: dict[str, Any]) -> None:
        """Settings of a picture go to the Make page."""
        make: Any = self.window.page("make")
        try:
            make.compose.use_request(request_of(recipe))
        except CommonArtError as e:
            self.notices.complain(e)

    def _on_scheme(self, *_: object) -> None:
        """The system went dark or light."""
        theme.apply(self._app, self.settings.now.theme, self._zoom())
        theme.dress(self.window)

    def _on_settings(self) -> None:
        now, before = self._looks(), self._shown_as
        if now == before:
            return
        self._shown_as = now
        anew = (now[0], now[2]) != (before[0], before[2])  # texts and sizes are set where a widget is made
        if anew:
            self.window.setUpdatesEnabled(False)
        theme.apply(self._app, self.settings.now.theme, self._zoom())
        if not anew:
            theme.dress(self.window)
        if anew:
            self._speak()
            old, shown = self.window, self.window.isVisible()
            old.keep()
            old.rest()
            self.window = self._build()
            theme.dress(self.window)
            if shown:
                self.window.show()
            old.hide()
            old.deleteLater()

    def raise_window(self) -> None:
        """Bring the window to the front: a second start of the program asks for it."""
        self.window.showNormal()
        self.window.raise_()
        self.window.activateWindow()

    def close(self, *, leave_working: bool) -> None:
        """End: keep drafts, and the engine at work if so wished."""
        self.window.keep()
        self.window.rest()
        self.state.sync()
        self.engine.shut(leave_working=leave_working)
        self.ledger.close()


def _name_the_language() -> None:
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
        QMessageBox.critical(None, "CommonArt Desktop", f"{text}\n\n{hint}")
        return e.exit_status

    def asked() -> None:
        while (caller := server.nextPendingConnection()) is not None:
            caller.disconnected.connect(caller.deleteLater)
        whole.raise_window()

    server.newConnection.connect(asked)
    whole.window.show()
    ahead = threading.Thread(target=load_all, name="pages", daemon=True)
    QTimer.singleShot(LOAD_AFTER, ahead.start)
    status = app.exec()
    if ahead.ident is not None:
        ahead.join()  # an import must not be cut off by the interpreter's end
    leave = str(whole.state.value(LEAVE, "false")) == "true" and whole.engine.now == "working"
    whole.close(leave_working=leave)
    server.close()
    return status
