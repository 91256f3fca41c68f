"""The frame: pages built when wanted, finding actions, news, looks and language, closing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PySide6.QtCore import QObject, QSize, Qt, QTimer
from PySide6.QtGui import QFont, QGuiApplication, QInputMethodEvent, QKeyEvent, QRawFont
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from commonart_desktop.core.settings import load_settings
from commonart_desktop.gui.app import Application
from commonart_desktop.gui.background.incremental import at_once
from commonart_desktop.gui.shell.command_palette import CommandPalette, CommandsModel
from commonart_desktop.gui.shell.commands import Command, commands_of, folded, score
from commonart_desktop.gui.shell.main_window import LEAVE, MainWindow
from commonart_desktop.gui.shell.pages import PAGES
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.tokens import DARK, LIGHT, contrast
from engine.contract import recipe
from engine.contract.errors import BadFile, DiskFull, QueueHeld
from engine.contract.font import FAMILY
from engine.contract.ledger.ledger import Ledger
from engine.contract.request import ImageRequest

Open = Callable[..., Application]
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def shown(qtbot: QtBot, whole: Application) -> MainWindow:
    whole.window.show()
    whole.window.activateWindow()
    qtbot.waitUntil(whole.window.isActiveWindow)
    whole.window.command_index.create_palette()  # as the program does soon after its start
    return whole.window


def write(field: QWidget, text: str) -> None:
    """As an input method commits it: QTest types only ASCII."""
    event = QInputMethodEvent()
    event.setCommitString(text)
    QApplication.sendEvent(field, event)


# pages ------------------------------------------------------------------------------------------------------------


def test_pages_are_built_when_they_are_first_shown(qtbot: QtBot, open_program: Open) -> None:
    window = shown(qtbot, open_program())
    assert list(window.pages) == ["make"] and list(window.titles) == [p.name for p in PAGES]
    before = window.pages["make"]
    window.go_to("settings")
    assert (
        list(window.pages) == ["make"] and window.current() == "settings" and not before.isVisible()
    )  # it is built in the turns to come
    qtbot.waitUntil(window.settled)
    assert list(window.pages) == ["make", "settings"] and window.pages["settings"].isVisible()
    page = window.pages["settings"]
    qtbot.keyClick(window, Qt.Key.Key_1, CTRL)
    assert window.current() == "make"
    number = [p.name for p in PAGES].index("settings") + 1
    qtbot.keyClick(window, Qt.Key(Qt.Key.Key_0 + number), CTRL)
    assert window.current() == "settings" and window.pages["settings"] is page


def test_every_page_has_its_module_and_icon() -> None:
    from importlib import import_module

    from engine.contract.paths import resources

    assert len({p.name for p in PAGES}) == len(PAGES)
    for page in PAGES:
        module, _, kind = page.of.partition(":")
        assert hasattr(import_module(f"commonart_desktop.gui.pages.{module}"), kind)
        assert (resources() / "icons" / f"{page.icon}.svg").is_file()


def test_the_page_and_the_draft_are_found_again(qtbot: QtBot, open_program: Open) -> None:
    first = open_program()
    window = shown(qtbot, first)
    window.page("make").compose.prompt.setPlainText("書きかけ {青い|赤い}鳥")
    window.go_to("models")
    window.resize(1024, 700)
    window.close()
    open_program.shut(first)  # type: ignore[attr-defined]
    again = open_program()
    assert again.window.current() == "models" and list(again.window.pages) == ["models"]
    assert again.window.size() == QSize(1024, 700)
    assert again.window.page("make").compose.prompt.toPlainText() == "書きかけ {青い|赤い}鳥"


def test_a_recipe_from_the_gallery_builds_the_make_page(qtbot: QtBot, open_program: Open) -> None:
    whole = open_program()
    whole.state.setValue("window/page", "settings")
    window = built(whole)
    whole.window.deleteLater()
    whole.window = window
    assert list(window.pages) == ["settings"]
    asked = ImageRequest(prompt="青い鳥", seed=5, steps=7, width=32, height=32)
    made = recipe.build(
        asked,
        model="stub-one",
        hashes={"denoiser": "0" * 64},
        backend={"backend": "fake", "device": "cpu", "dtype": "fp32"},
        batch=(1, 0),
        pixel_sha256="0" * 64,
        app="test",
    )
    window.page("pictures").use_recipe.emit(made)
    assert (
        window.page("make").compose.prompt.toPlainText() == "青い鳥"
        and window.page("make").compose.form.steps.value() == 7
    )


def test_a_queue_held_for_a_training_that_is_over_goes_on(qtbot: QtBot, open_program: Open, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "home" / "queue.db")
    ledger.pause(
        None, True, QueueHeld(name="ink")
    )  # the window was closed while it ran, and nobody was there at its end
    ledger.close()
    whole = open_program()
    window = shown(qtbot, whole)
    qtbot.waitUntil(lambda: not whole.ledger.paused()[0], timeout=30_000)
    assert window.current() == "make" and list(window.pages) == ["make"]


# finding actions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("add queue", "Add to queue"),
        ("atq", "Add to queue"),
        ("キュー", "キューに追加"),
        ("きゅー", "キューに追加"),
        ("ｑｕｅｕｅ", "Add to Queue"),
        ("", "x"),
    ],
)
def test_a_name_is_found(query: str, text: str) -> None:
    assert score(folded(query), folded(text)) is not None


def test_the_better_answer_comes_first() -> None:
    def points(text: str) -> int:
        found = score("ret", folded(text))
        assert found is not None
        return found

    assert points("Retry failed") > points("Secretary") > points("Remove this text")
    assert score("xyz", "retry") is None and score("rwt", folded("Remove what was finished from the long list")) is None


def test_the_model_of_the_finder(qtbot: QtBot) -> None:
    model = CommandsModel()
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    model.set_commands(
        [
            Command("Add to queue", "make", "Ctrl+Return", lambda: None),
            Command("Retry", "", "", lambda: None, lambda: False),
        ],
        {"make": "Make"},
    )
    assert [model.index(0, c).data() for c in range(3)] == ["Add to queue", "Make", "Ctrl+Return"]
    assert not model.flags(model.index(1, 0)) & Qt.ItemFlag.ItemIsEnabled
    model.search("retr")
    assert model.rowCount() == 1 and model.index(0, 0).data() == "Retry"


def keys(
    qtbot: QtBot, window: MainWindow, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
) -> None:
    qtbot.keyClick(QApplication.focusWidget() or window, key, modifier)


def palette_of(window: MainWindow) -> CommandPalette:
    assert window.command_index.palette is not None
    return window.command_index.palette


@pytest.mark.parametrize(("language", "typed", "other"), [("en", "number type", "数値の型"), ("ja", "数値", "number")])
def test_any_action_is_found_by_keyboard_alone(
    qtbot: QtBot, open_program: Open, language: str, typed: str, other: str
) -> None:
    window = shown(qtbot, open_program(language=language))
    qtbot.keyClick(window, Qt.Key.Key_K, CTRL)
    finder = palette_of(window)

    def titles() -> set[str]:
        return {finder.model.index(r, 1).data() for r in range(finder.model.rowCount())}

    qtbot.waitUntil(lambda: titles() == {*window.titles.values(), ""}, timeout=30_000)  # it knows pages never seen
    assert finder.isVisible() and finder.field.hasFocus() and window.current() == "make"
    pressed: list[str] = []
    window.page("models").get.clicked.connect(lambda: pressed.append("get"))  # type: ignore[attr-defined]
    write(finder.field, window.page("models").get.text().rstrip("…"))  # type: ignore[attr-defined]
    keys(qtbot, window, Qt.Key.Key_Return)
    assert not finder.isVisible() and window.current() == "models" and pressed == ["get"]
    window.go_to("make")
    window.page("make").compose.prompt.setFocus()  # type: ignore[attr-defined]
    qtbot.keyClick(window, Qt.Key.Key_K, CTRL)
    qtbot.keyClicks(finder.field, "zzqq")
    assert finder.empty.isVisible()
    keys(qtbot, window, Qt.Key.Key_Return)
    assert finder.isVisible()
    keys(qtbot, window, Qt.Key.Key_Escape)
    assert not finder.isVisible() and QApplication.focusWidget() is window.page("make").compose.prompt  # type: ignore[attr-defined]


def test_the_finder_comes_also_before_it_was_made(qtbot: QtBot, open_program: Open) -> None:
    window = open_program().window
    window.show()
    window.find_action()
    qtbot.waitUntil(lambda: window.command_index.palette is not None and window.command_index.palette.isVisible())


def test_a_page_is_loaded_built_and_listed_in_turns(qtbot: QtBot, open_program: Open) -> None:
    window = shown(qtbot, open_program())
    steps: list[str] = []
    threads: set[str] = set()
    for name in window.titles:
        if name in window.stack.loaders:
            window.stack.loaders[name] = lambda name=name, load=window.stack.loaders[name]: (
                threads.add(threading.current_thread().name),
                steps.append(f"load {name}"),
                load(),
            )
    window.stack.built.connect(lambda name, _: steps.append(f"build {name}"))
    window.find_action()
    finder = palette_of(window)
    assert palette_of(window).isVisible() and steps == []  # it is there before anything else is done
    finder.model.rowsInserted.connect(lambda: steps.append("list"))
    turn = QTimer(window, interval=0)
    turn.timeout.connect(lambda: steps.append("turn") if steps[-1:] != ["turn"] else None)
    turn.start()
    qtbot.waitUntil(
        lambda: set(window.pages) == set(window.titles) and not window.command_index.unlisted, timeout=30_000
    )
    turn.stop()
    assert threads == {"page"}
    work = [one for one in steps if one != "turn"]
    assert (
        work[:4] == ["load pictures", "build pictures", "list", "load train"]
        and work.count("list") == len(window.titles) - 1
    )
    assert (
        "turn" in steps[steps.index("build pictures") : steps.index("list")] and steps.count("turn") >= len(work) // 2
    )  # others come in between


def test_buttons_of_one_word_are_told_apart(qtbot: QtBot, open_program: Open) -> None:
    page = open_program().window.page("settings")
    names = {d.name for d in commands_of(page, "settings")}
    assert (
        "Choose the output folder" in names
        and "Choose" not in names
        and len([n for n in names if n.startswith("Clear")]) == 2
    )


def test_words_of_the_other_language_find_too(qtbot: QtBot, open_program: Open) -> None:
    window = shown(qtbot, open_program(language="ja"))
    qtbot.keyClick(window, Qt.Key.Key_K, CTRL)
    qtbot.keyClicks(palette_of(window).field, "add to queue")
    command = palette_of(window).model.command(0)
    assert command is not None and command.name == "キューに追加" and "Ctrl" in command.keys


def test_arrows_pass_over_what_cannot_be_done(qtbot: QtBot, open_program: Open) -> None:
    window = shown(qtbot, open_program())
    window.find_action()
    finder = palette_of(window)
    done: list[str] = []
    deeds = [Command(n, "", "", lambda n=n: done.append(n), lambda n=n: n != "b") for n in "abc"]
    finder.open("t", "h", deeds, {})
    keys(qtbot, window, Qt.Key.Key_Down)
    keys(qtbot, window, Qt.Key.Key_Return)
    assert done == ["c"]


def test_the_shortcuts_are_listed(qtbot: QtBot, open_program: Open) -> None:
    window = shown(qtbot, open_program())
    qtbot.keyClick(window, Qt.Key.Key_F1)
    finder = palette_of(window)
    qtbot.waitUntil(
        lambda: set(window.pages) == set(window.titles) and not window.command_index.unlisted, timeout=30_000
    )
    rows = {(finder.model.index(r, 0).data(), finder.model.index(r, 2).data()) for r in range(finder.model.rowCount())}
    assert {
        ("Add to queue", "Ctrl+Return"),
        ("Make one now", "Ctrl+Shift+Return"),
        ("Find an action", "Ctrl+K"),
        ("Go to: Make", "Ctrl+1"),
        ("Keyboard shortcuts", "F1"),
    } <= rows
    assert all(k for _, k in rows)


# news -------------------------------------------------------------------------------------------------------------


def test_news_go_and_errors_stay_with_their_details(qtbot: QtBot, open_program: Open, tmp_path: Path) -> None:
    whole = open_program()
    bar = shown(qtbot, whole).notice
    whole.notices.say("one", "two")
    assert bar.isVisible() and bar._timer.isActive() and not bar.details.isVisible() and not bar.button.isVisible()
    (tmp_path / "home" / "logs").mkdir(parents=True, exist_ok=True)
    (tmp_path / "home" / "logs" / "worker.log").write_text("last words\n", encoding="utf-8")
    whole.notices.complain(DiskFull(path="/x"))
    assert bar.isVisible() and not bar._timer.isActive() and bar.details.isVisible()
    qtbot.mouseClick(bar.details, Qt.MouseButton.LeftButton)
    copied = QGuiApplication.clipboard().text()
    assert '"disk-full"' in copied and "last words" in copied and "Python" in copied
    whole.notices.say("three")
    assert not bar.details.isVisible()


def test_hand_written_settings_that_cannot_be_read_are_kept(qtbot: QtBot, open_program: Open, tmp_path: Path) -> None:
    first = open_program(theme="dark")
    open_program.shut(first)  # type: ignore[attr-defined]
    file = tmp_path / "home" / "settings.toml"
    text = "# mine\n" + file.read_text(encoding="utf-8") + 'memory = 8\nfuture = 3\nout = "D:\\Pictures\\new"\n'
    text = text.replace("\nout = ", "\nname = ", 1)
    file.write_text(text, encoding="utf-8")
    whole = open_program()
    assert whole.settings.now.theme == "dark"
    assert "settings.toml" in whole.window.notice.text.text() and not whole.window.notice.isHidden()
    assert file.read_text(encoding="utf-8") == text, "the file is left alone until something is changed here"
    whole.settings.put(device="cpu")
    (kept,) = file.parent.glob("settings.unreadable-*.toml")
    assert kept.read_text(encoding="utf-8") == text and str(kept) in whole.window.notice.text.text()
    assert load_settings() == whole.settings.now
    whole.settings.put(device="auto")
    assert len(list(file.parent.glob("settings.*.toml"))) == 1
    open_program.shut(whole)  # type: ignore[attr-defined]
    file.write_text("no toml at all", encoding="utf-8")
    assert open_program().settings.now.theme == "system"


def test_settings_of_a_newer_version_stay(open_program: Open, tmp_path: Path) -> None:
    open_program.shut(open_program(theme="dark"))  # type: ignore[attr-defined]
    file = tmp_path / "home" / "settings.toml"
    file.write_text(file.read_text(encoding="utf-8") + "glow = 3  # strong\n", encoding="utf-8")
    whole = open_program()
    assert "glow" in whole.window.notice.text.text()
    whole.settings.put(device="cpu")
    assert "glow = 3  # strong\n" in file.read_text(encoding="utf-8") and load_settings().device == "cpu"
    assert not list(file.parent.glob("settings.*.toml"))


# looks and language -----------------------------------------------------------------------------------------------


def test_text_can_be_read_in_both_themes() -> None:
    for c in (LIGHT, DARK):
        for ground in (c.window, c.panel, c.field, c.raised, c.selection):
            for text in (c.text, c.muted, c.good, c.warning, c.bad, c.template):
                if ground == c.selection and text != c.text:
                    continue  # only plain text stands on a selection
                assert contrast(text, ground) >= 4.5, (text, ground)
        assert contrast(c.on_accent, c.accent) >= 4.5 and contrast(c.accent, c.window) >= 4.5


def test_the_system_is_followed_while_it_changes(
    qtbot: QtBot, open_program: Open, qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_program(theme="system")
    hints = qapp.styleHints()
    for scheme, colours in ((Qt.ColorScheme.Dark, DARK), (Qt.ColorScheme.Light, LIGHT)):
        said = SimpleNamespace(
            colorScheme=lambda scheme=scheme: scheme
        )  # the offscreen platform has no scheme of its own
        monkeypatch.setattr(theme, "QGuiApplication", SimpleNamespace(styleHints=lambda said=said: said))
        hints.colorSchemeChanged.emit(scheme)
        whole.settle()
        assert theme.colours() == colours and qapp.palette().window().color().name() == colours.window


@pytest.mark.parametrize(
    ("variable", "language"), [("ja_JP.UTF-8", "ja"), ("en_GB.UTF-8", "en"), ("fr_FR.UTF-8", "en")]
)
def test_the_system_s_language_is_taken(
    qtbot: QtBot, open_program: Open, monkeypatch: pytest.MonkeyPatch, variable: str, language: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", variable)
    window = open_program(language="").window
    assert window.titles["make"] == {"ja": "生成", "en": "Make"}[language]


def test_the_language_changes_without_a_restart(qtbot: QtBot, open_program: Open) -> None:
    whole = open_program()
    window = shown(qtbot, whole)
    window.page("make").compose.prompt.setPlainText("猫")  # type: ignore[attr-defined]
    window.go_to("settings")
    page = window.page("settings")
    page.language.setCurrentIndex(page.language.findData("ja"))  # type: ignore[attr-defined]
    qtbot.waitUntil(lambda: whole._change_in_progress is None)
    assert whole.window is not window and whole.window.isVisible() and whole.window.current() == "settings"
    assert whole.window.titles["settings"] == "設定" and load_settings().language == "ja"
    compose = whole.window.page("make").compose  # type: ignore[attr-defined]
    assert compose.prompt.toPlainText() == "猫" and compose.add_button.text() == "キューに追加"


def test_larger_letters(qtbot: QtBot, open_program: Open, qapp: QApplication) -> None:
    whole = open_program()
    window = shown(qtbot, whole)
    window.go_to("settings")
    before = qapp.font().pixelSize()
    page = window.page("settings")
    page.zoom.setCurrentIndex(page.zoom.findData("1.25"))  # type: ignore[attr-defined]
    whole.settle()
    assert qapp.font().pixelSize() == round(before * 1.25) and whole.window is not window
    page = whole.window.page("settings")
    page.zoom.setCurrentIndex(page.zoom.findData("1"))  # type: ignore[attr-defined]
    whole.settle()
    assert qapp.font().pixelSize() == before


def built(whole: Application) -> MainWindow:
    """Another window of the same program."""
    window = whole._create_window()
    at_once(whole._fill_window(window))
    window.command_index.create_palette()  # as the program does soon after its start
    return window


# closing ----------------------------------------------------------------------------------------------------------


def test_closing_over_work_asks_once_and_quietly(
    qtbot: QtBot, open_program: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_program()
    window = shown(qtbot, whole)
    whole.engine.now = "working"
    assert not window.close() and window.isVisible() and "is working" in window.notice.text.text()
    assert window.close() and not window.isVisible()
    assert whole.state.value(LEAVE) is None  # that was an answer for this time
    again = built(whole)
    again.show()
    assert not again.close()
    qtbot.mouseClick(again.notice.button, Qt.MouseButton.LeftButton)
    assert not again.isVisible() and whole.state.value(LEAVE) == "true"
    third = built(whole)
    third.show()
    assert third.close()  # the answer is remembered
    for one in (again, third):
        one.deleteLater()
    whole.engine.now = "off"


def test_a_worker_of_an_earlier_window_is_seen(qtbot: QtBot, open_program: Open, tmp_path: Path) -> None:
    from engine.contract.ledger.process_lock import ProcessLock

    whole = open_program()
    lock = ProcessLock(tmp_path / "home" / "queue.db.worker-other.lock")
    assert lock.take()
    whole.engine.look()
    assert whole.engine.now == "idle"
    lock.drop(remove=True)
    whole.engine.look()
    assert whole.engine.now == "off"


def test_events_of_keys_are_not_eaten_by_a_closed_finder(qtbot: QtBot, open_program: Open) -> None:
    window = shown(qtbot, open_program())
    window.find_action()
    finder = palette_of(window)
    finder.close_()
    press = QKeyEvent(QKeyEvent.Type.KeyPress, Qt.Key.Key_A, Qt.KeyboardModifier.NoModifier, "a")
    assert not finder.eventFilter(QObject(), press)


def test_deeds_have_one_name_each(qtbot: QtBot, open_program: Open) -> None:
    window = open_program().window
    for name in window.titles:
        page: QWidget = window.page(name)
        names = [d.name for d in commands_of(page, name)]
        assert len(names) == len(set(names)) and names


def test_errors_are_json_in_their_details() -> None:
    from commonart_desktop.gui.notices import details

    line = details(BadFile(path="/a", why="b")).splitlines()
    assert any(json.loads(x)["kind"] == "bad-file" for x in line if x.startswith("{"))


# letters ----------------------------------------------------------------------------------------------------------


def test_japanese_is_shown_on_a_system_without_a_japanese_font(
    qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theme.QFontDatabase, "families", staticmethod(lambda *_: []))
    assert theme._families("Some Sans") == ["Some Sans", FAMILY]
    letters = QRawFont.fromFont(QFont(FAMILY))
    assert letters.familyName() == FAMILY and all(letters.supportsCharacter(ord(c)) for c in "漢字かなカナ、")
