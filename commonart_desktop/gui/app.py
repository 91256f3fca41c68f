"""The composition root of the window: builds every object and passes it down."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QObject, QSettings, QTranslator
from PySide6.QtNetwork import QLocalServer, QLocalSocket
from PySide6.QtWidgets import QApplication, QMessageBox, QWidget

from commonart_desktop.core import i18n
from commonart_desktop.core.home import home, resources
from commonart_desktop.core.ledger import open_ledger
from commonart_desktop.gui import theme
from commonart_desktop.gui.context import Context, Notices, SettingsStore
from commonart_desktop.gui.engine import Engine
from commonart_desktop.gui.gallery_page import GalleryPage
from commonart_desktop.gui.main_window import MainWindow
from commonart_desktop.gui.make_page import MakePage
from commonart_desktop.gui.models_page import ModelsPage
from commonart_desktop.gui.settings_page import SettingsPage
from engine.contract.errors import CommonArtError
from engine.contract.recipe import request_of

#: page name -> (title, icon, builder); a page is here once it works
PageBuilder = Callable[[Context], QWidget]


def page_table() -> list[tuple[str, str, str, PageBuilder]]:
    """The pages in side bar order, named in the language in force."""
    # in full: lupdate does not see through another name
    return [("make", QCoreApplication.translate("pages", "Make"), "make", MakePage),
            ("pictures", QCoreApplication.translate("pages", "Pictures"), "pictures", GalleryPage),
            ("models", QCoreApplication.translate("pages", "Models"), "models", ModelsPage),
            ("settings", QCoreApplication.translate("pages", "Settings"), "settings", SettingsPage)]


class Application(QObject):
    """Owns the ledger, the engine and the window, and makes the window anew when the language changes."""

    def __init__(self, app: QApplication, *, backend: str | None = None) -> None:
        super().__init__()
        self._app = app
        self._translators: list[QTranslator] = []
        self.settings = SettingsStore()
        self.state = QSettings(str(home() / "window.ini"), QSettings.Format.IniFormat)
        self._speak()
        theme.apply(app, self.settings.now.theme)
        self.ledger, rescued = open_ledger()
        self.engine = Engine(self.ledger, self.settings, backend=backend)
        self.notices = Notices()
        self.window = self._build()
        self._shown_as = (self.settings.now.language, self.settings.now.theme)
        self.settings.changed.connect(self._on_settings)
        app.styleHints().colorSchemeChanged.connect(lambda _: theme.apply(app, self.settings.now.theme))
        if rescued is not None:
            self.notices.say(i18n.tr("The queue was damaged. It is kept as {path}; {count} picture(s) were saved from it.",
                                     path=rescued[0], count=rescued[1]))

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
        for name, title, icon, builder in page_table():
            window.add_page(name, title, icon, builder(context))
        make, pictures = window.pages["make"], window.pages["pictures"]
        assert isinstance(make, MakePage) and isinstance(pictures, GalleryPage)
        pictures.use_recipe.connect(lambda recipe: self._use(make, recipe))
        window.finish(context)
        page = str(self.state.value("window/page", "make"))
        window.go_to(page if page in window.pages else "make")
        return window

    def _use(self, make: MakePage, recipe: dict[str, Any]) -> None:
        """Settings of a picture in the gallery go to the Make page."""
        try:
            make.compose.use_request(request_of(recipe))
        except CommonArtError as e:
            self.notices.complain(e)

    def _on_settings(self) -> None:
        now = (self.settings.now.language, self.settings.now.theme)
        if now == self._shown_as:
            return
        language_changed = now[0] != self._shown_as[0]
        self._shown_as = now
        theme.apply(self._app, self.settings.now.theme)
        if language_changed:  # every text is set where a widget is made: make them anew
            self._speak()
            old, page = self.window, self.window.current()
            self.state.setValue("window/geometry", old.saveGeometry())
            self.state.setValue("window/page", page)
            for one in old.pages.values():
                if hasattr(one, "keep"):
                    one.keep()  # drafts and sizes
            self.window = self._build()
            self.window.show()
            old.deleteLater()

    def raise_window(self) -> None:
        """Bring the window to the front: a second start of the program asks for it."""
        self.window.showNormal()
        self.window.raise_()
        self.window.activateWindow()

    def close(self, *, leave_working: bool) -> None:
        """End: keep drafts, and the engine at work if so wished."""
        for page in self.window.pages.values():
            if hasattr(page, "keep"):
                page.keep()
        self.state.sync()
        self.engine.shut(leave_working=leave_working)
        self.ledger.close()


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
    server.newConnection.connect(whole.raise_window)
    whole.window.show()
    status = app.exec()
    leave = whole.state.value("engine/leave_working", "false") == "true" and whole.engine.now == "working"
    whole.close(leave_working=leave)
    server.close()
    return status
