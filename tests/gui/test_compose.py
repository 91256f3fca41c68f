"""The compose side: what is typed, what it stands for, and what reaches the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QColor, QInputMethodEvent, QKeyEvent, QTextCursor
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from commonart_desktop.gui.background.tasks import pending_tasks
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.make import presets
from commonart_desktop.gui.pages.make.compose_panel import DRAFT, ComposePanel
from commonart_desktop.gui.pages.make.fields import RATIOS, scaled
from commonart_desktop.gui.pages.make.jobs import settings_of_parameters, settings_of_request
from commonart_desktop.gui.shell.ime_guard import ImeGuard
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.widgets.prompt_edit import PromptEdit
from engine.contract.errors import NoRecipe, OutputFolder
from engine.contract.image_parameters import read_parameters
from engine.contract.ledger.ledger import Ledger
from engine.contract.request import ImageRequest
from tests.support.stub_model import SIDE


class Said:
    """Every notice: (text, hint, action, what the action does)."""

    def __init__(self, context: Context) -> None:
        self.all: list[tuple[str, str, str, Callable[[], None] | None]] = []
        context.notices.asked.connect(lambda *a: self.all.append(a))


@pytest.fixture
def said(context: Context) -> Said:
    return Said(context)


@pytest.fixture
def started(context: Context, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The engine is only asked here; the whole way stands in test_e2e."""
    asked: list[bool] = []
    monkeypatch.setattr(context.engine, "start", lambda **_: asked.append(True))
    return asked


def settle(qtbot: QtBot, panel: ComposePanel) -> None:
    """Until every timer and thread of the panel is through."""
    qtbot.waitUntil(lambda: not panel._count_timer.isActive() and pending_tasks(panel) == 0, timeout=20_000)


@pytest.fixture
def make(qtbot: QtBot, context: Context, said: Said, started: list[bool]) -> Callable[[], ComposePanel]:
    def build() -> ComposePanel:
        panel = ComposePanel(context)
        qtbot.addWidget(panel, before_close_func=lambda p: settle(qtbot, p))
        panel.resize(420, 640)
        panel.show()
        settle(qtbot, panel)
        return panel

    return build


class Dropped:
    """What is asked of a drop's events: their constructors differ from one Qt to the next."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.data, self.taken = QMimeData(), False
        self.data.setUrls([QUrl.fromLocalFile(str(p)) for p in paths])

    def mimeData(self) -> QMimeData:
        return self.data

    def acceptProposedAction(self) -> None:
        self.taken = True


def drop(panel: ComposePanel, *paths: Path) -> None:
    event: Any = Dropped(paths)
    panel.dragEnterEvent(event)
    assert event.taken
    panel.dropEvent(event)


def prompts(ledger: Ledger) -> list[str]:
    return [row.request.prompt for _, row in ledger.every()]


# the editor -------------------------------------------------------------------------------------------------------


def marked(edit: PromptEdit) -> list[str]:
    """The parts of the text in the template's colour."""
    found, block = [], edit.document().begin()
    while block.isValid():
        for form in block.layout().formats():
            if form.format.foreground().color() == QColor(theme.colours().template):
                found.append(block.text()[form.start : form.start + form.length])
        block = block.next()
    return found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a {b|c} d", "{b|c}"),
        ("[[すし|そば]]の絵", "[[すし|そば]]"),
        ("a __colour/warm__ b", "__colour/warm__"),
        ("\\{b|c\\} | } ]]", ""),
        ("{a\nb|c} d", "{ab|c}"),
        ("{3::a|[[b|c]]} d", "{3::a|[[b|c]]}"),
        ("snake_case and [one]", ""),
        ("🍣🍣 {a|b}", "{a|b}"),
    ],
)
def test_the_signs_of_a_template_are_marked(qtbot: QtBot, text: str, parts: str) -> None:
    edit = PromptEdit(3, template=True)
    qtbot.addWidget(edit)
    edit.setPlainText(text)
    if "🍣" in text:  # Qt counts in UTF-16
        block = edit.document().begin()
        assert (
            sum(f.length for f in block.layout().formats()) == len(parts)
            and min(f.start for f in block.layout().formats()) == 5
        )
    else:
        assert "".join(marked(edit)) == parts


def test_a_new_theme_recolours_and_is_no_edit(qtbot: QtBot) -> None:
    app = QApplication.instance()
    theme.apply(app, "light")
    edit = PromptEdit(3, template=True)
    qtbot.addWidget(edit)
    edit.setPlainText("{a|b}")
    told: list[bool] = []
    edit.edited.connect(lambda: told.append(True))
    theme.apply(app, "dark")
    edit.highlighter.read_theme()
    edit.highlighter.rehighlight()
    assert "".join(marked(edit)) == "{a|b}" and not told
    theme.apply(app, "light")


def composing(field: QWidget, text: str) -> None:
    QApplication.sendEvent(field, QInputMethodEvent(text, []))


def commit(field: QWidget, text: str) -> None:
    done = QInputMethodEvent("", [])
    done.setCommitString(text)
    QApplication.sendEvent(field, done)


def overridden(field: QWidget, key: Qt.Key, modifier: Qt.KeyboardModifier) -> bool:
    """Whether the field keeps a key from being a shortcut."""
    press = QKeyEvent(QKeyEvent.Type.ShortcutOverride, key, modifier)
    press.ignore()
    QApplication.sendEvent(field, press)
    return press.isAccepted()


@pytest.mark.parametrize("which", ["prompt", "negative", "job", "out", "name", "preset"])
def test_japanese_input_is_left_in_peace(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, which: str, started: list[bool]
) -> None:
    guard = ImeGuard(QApplication.instance())  # type: ignore[arg-type]  # the program has one for all its fields
    panel = make()
    panel.activateWindow()
    qtbot.waitUntil(panel.isActiveWindow)
    panel.prompt.setPlainText("猫と{赤い|青い}鳥")
    panel.prompt.moveCursor(QTextCursor.MoveOperation.End)
    settle(qtbot, panel)
    if which == "preset":
        panel.presets.save_button.click()
    field: Any = {
        "prompt": panel.prompt,
        "negative": panel.negative,
        "job": panel.form.job,
        "out": panel.form.out,
        "name": panel.form.name,
        "preset": panel.presets.name,
    }[which]
    field.setFocus()
    read = field.toPlainText if hasattr(field, "toPlainText") else field.text
    before, count, colours = read(), panel.total.text(), marked(panel.prompt)
    for text in ("s", "す", "すし", "寿司"):
        composing(field, text)
        assert read() == before and not panel._count_timer.isActive()  # a composition is not yet text
        assert marked(panel.prompt) == colours
    assert overridden(
        field, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier
    )  # Ctrl+Return is the input method's now
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
        qtbot.keyClick(field, key)
        qtbot.keyClick(field, key, Qt.KeyboardModifier.ControlModifier)
    assert (
        context.ledger.counts()["waiting"] == 0 and started == [] and read() == before and panel.total.text() == count
    )
    assert presets.of_user() == ([], [])
    commit(field, "寿司")
    assert "寿司" in read() and len(read()) == len(before) + 2 and context.ledger.counts()["waiting"] == 0
    if field is not panel.presets.name:
        qtbot.keyClick(field, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)  # and now it is a shortcut again
        qtbot.waitUntil(lambda: started == [True])
    guard.deleteLater()


# what a prompt stands for -----------------------------------------------------------------------------------------


def test_the_count_and_a_sample_stand_under_the_prompt(qtbot: QtBot, make: Callable[[], ComposePanel]) -> None:
    panel = make()
    panel.prompt.setPlainText("[[赤い|青い]][[猫|犬|鳥]]")
    panel.form.count.setValue(4)
    qtbot.waitUntil(lambda: panel.total.text() == "= 24 images")
    assert "赤い猫" in panel.sample.text() and panel.sample.isVisible()
    panel.prompt.setPlainText("すし")
    panel.form.count.setValue(1)
    qtbot.waitUntil(lambda: panel.total.text() == "= 1 image")
    assert not panel.sample.isVisible()  # it would say the same again
    assert "すし" in panel.form.name_example.text()


def test_a_wrong_template_is_told_of_and_kept(qtbot: QtBot, make: Callable[[], ComposePanel]) -> None:
    panel = make()
    panel.prompt.setPlainText("{赤い|青い")
    qtbot.waitUntil(panel.prompt_error.isVisible)
    assert (
        "never closed" in panel.prompt_error.text()
        and panel.total.text() == ""
        and panel.prompt.toPlainText() == "{赤い|青い"
    )
    panel.prompt.setPlainText("{赤い|青い}")
    qtbot.waitUntil(lambda: not panel.prompt_error.isVisible() and panel.total.text() != "")


# fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", RATIOS)
@pytest.mark.parametrize(("side", "multiple"), [(512, 16), (1024, 32), (32, 16), (256, 8)])
def test_shapes_keep_area_and_grid(shape: str, side: int, multiple: int) -> None:
    width, height = scaled(side, multiple, RATIOS[shape])
    assert width % multiple == height % multiple == 0 and (width >= height) == (
        RATIOS[shape][0] >= RATIOS[shape][1] or width == height
    )
    if side >= 256:
        assert abs(width * height / side**2 - 1) < 0.08


def test_a_size_off_the_grid_is_told_of(make: Callable[[], ComposePanel], context: Context, said: Said) -> None:
    panel = make()
    multiple = panel.form.model.info().multiple
    panel.prompt.setPlainText("すし")
    panel.form.image_size.width_box.setValue(multiple * 3 + 1)
    assert (
        panel.form.image_size.key() == "free"
        and str(multiple) in panel.form.image_size.error.text()
        and panel.form.image_size.error.isVisible()
    )
    panel.add()
    assert (
        context.ledger.jobs() == []
        and panel.form.image_size.width_box.value() == multiple * 3 + 1
        and len(said.all) == 1
    )
    panel.form.image_size.width_box.setValue(multiple * 3)
    assert not panel.form.image_size.error.isVisible()
    assert panel.form.base()["width"] == multiple * 3


def test_square_is_left_to_the_model(make: Callable[[], ComposePanel]) -> None:
    panel = make()
    assert panel.form.model.info().own_side == SIDE and panel.form.image_size.width_box.value() == SIDE
    assert panel.form.base()["width"] is None


def test_an_unknown_model_is_told_of(qtbot: QtBot, make: Callable[[], ComposePanel], context: Context) -> None:
    panel = make()
    panel.prompt.setPlainText("すし")
    panel.form.model.set_value("no-such-model")
    assert panel.form.model.error.isVisible() and "no-such-model" in panel.form.model.error.text()
    panel.add()
    settle(qtbot, panel)
    assert context.ledger.jobs() == []


def test_a_broken_model_folder_is_told_of(qtbot: QtBot, make: Callable[[], ComposePanel], tmp_path: Path) -> None:
    panel = make()
    panel.form.model.set_value(str(tmp_path / "nothing here"))
    qtbot.waitUntil(panel.form.model.error.isVisible, timeout=10_000)
    assert panel.form.first_problem() is panel.form.model.combo


@pytest.mark.parametrize("text", ["", "12a", "9999999999999999999", "-2"])
def test_a_bad_seed_is_told_of(make: Callable[[], ComposePanel], text: str) -> None:
    panel = make()
    panel.form.seed.set_value("fixed", text)
    assert panel.form.seed.error.isVisible() and panel.form.first_problem() is panel.form.seed.number
    panel.form.seed.set_value("random", text)
    assert not panel.form.seed.error.isVisible() and panel.form.seed.value() is None


def test_a_seed_of_minus_one_is_random(make: Callable[[], ComposePanel]) -> None:
    panel = make()
    panel.form.seed.set_value("fixed", "-1")
    assert panel.form.seed.key() == "random" and panel.form.seed.value() is None
    panel.form.seed.set_value("on", "5")
    panel.form.seed.number.setText("-1")
    assert panel.form.first_problem() is None and panel.form.seed.value() is None
    panel.form.seed.used(77)
    assert panel.form.seed.number.text() == "-1"


def test_a_bad_file_name_is_told_of(make: Callable[[], ComposePanel]) -> None:
    panel = make()
    panel.form.name.setText("../{prompt}")
    assert panel.form.name_error.isVisible() and not panel.form.name_example.isVisible()
    panel.form.name.setText("{seed}-{prompt:3}")
    assert panel.form.name_example.text() == "7-a r.png" and not panel.form.name_error.isVisible()


# into the queue ---------------------------------------------------------------------------------------------------


def test_ctrl_return_adds_everything_and_starts_the_engine(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, said: Said, started: list[bool]
) -> None:
    panel = make()
    panel.prompt.setPlainText("[[赤い|青い]]猫")
    panel.negative.setPlainText("犬")
    panel.form.count.setValue(3)
    panel.form.seed.set_value("on", "7")
    panel.form.steps.setValue(12)
    panel.activateWindow()
    panel.prompt.setFocus()
    qtbot.waitUntil(panel.prompt.hasFocus)
    qtbot.keyClick(panel.prompt, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: len(said.all) == 1)
    rows = [r for _, r in context.ledger.every()]
    assert [(r.request.prompt, r.request.seed) for r in rows] == [
        (p, s) for p in ("赤い猫", "青い猫") for s in (7, 8, 9)
    ]
    assert all(r.request.negative == "犬" and r.request.steps == 12 and r.request.out == str(context.out) for r in rows)
    assert said.all[0][0] == "6 images added" and said.all[0][2] == "Undo" and started == [True]
    assert panel.form.seed.number.text() == "10"  # the next job goes on from there
    assert panel.prompt.toPlainText() == "[[赤い|青い]]猫"


def test_undo_takes_the_job_back(qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, said: Said) -> None:
    context.ledger.add_job("other", [ImageRequest(prompt="b", seed=1)])
    panel = make()
    panel.prompt.setPlainText("猫")
    panel.form.count.setValue(240)
    panel.add()
    qtbot.waitUntil(lambda: len(said.all) == 1)
    assert said.all[0][0] == "240 images added"
    said.all[0][3]()
    qtbot.waitUntil(lambda: len(said.all) == 2)
    assert prompts(context.ledger) == ["b"] and [j.name for j in context.ledger.jobs()] == ["other"]


def test_remove_leaves_what_was_begun(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "q.db")
    job = ledger.add_job("a", [ImageRequest(prompt=str(n), seed=n) for n in range(5)])
    other = ledger.add_job("b", [ImageRequest(prompt="z", seed=0)])
    ledger.claim("w", lambda rows: rows[:2])
    assert ledger.remove(job) == 3 and ledger.job(job).total == ledger.job(job).running == 2
    ledger.set_state([job], ["running"], "cancelled")
    assert ledger.remove(job) == 2 and [j.id for j in ledger.jobs()] == [other] and ledger.job(other).total == 1
    ledger.close()


def test_one_now_comes_first(qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, said: Said) -> None:
    context.ledger.add_job("other", [ImageRequest(prompt="b", seed=1)], priority=30)
    panel = make()
    panel.prompt.setPlainText("[[猫|犬]]")
    panel.form.count.setValue(9)
    panel.activateWindow()
    panel.negative.setFocus()
    qtbot.waitUntil(panel.negative.hasFocus)
    qtbot.keyClick(
        panel.negative, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    qtbot.waitUntil(lambda: len(said.all) == 1)
    assert prompts(context.ledger) == ["b", "猫"] and context.ledger.jobs()[1].priority == 30
    assert said.all[0][0] == "1 image added"


def test_after_a_crash_the_engine_does_not_start_by_itself(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, said: Said, started: list[bool]
) -> None:
    context.ledger.add_job("cut off", [ImageRequest(prompt="b", seed=1)])
    context.ledger.claim("dead", lambda rows: rows)
    panel = make()
    panel.prompt.setPlainText("猫")
    panel.add()
    qtbot.waitUntil(lambda: len(said.all) == 1)
    assert started == [] and "resume" in said.all[0][1] and context.ledger.counts()["waiting"] == 1


def test_an_empty_prompt_adds_nothing(make: Callable[[], ComposePanel], context: Context, said: Said) -> None:
    panel = make()
    panel.prompt.setPlainText(" \n")
    panel.add()
    assert context.ledger.jobs() == [] and panel.prompt_error.isVisible() and not said.all


def test_a_folder_that_cannot_be_written_is_told_of(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, said: Said, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    panel = make()
    panel.prompt.setPlainText("猫")
    panel.form.out.setText(str(tmp_path / "file" / "in"))
    panel.add()
    qtbot.waitUntil(lambda: len(said.all) == 1)
    assert (
        "cannot be written" in said.all[0][0]
        and context.ledger.jobs() == []
        and panel.add_button.text() == "Add to queue"
    )


# files ------------------------------------------------------------------------------------------------------------


def test_a_list_of_prompts_becomes_a_job(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, said: Said, tmp_path: Path
) -> None:
    file = tmp_path / "祭り.txt"
    file.write_text("赤い{提灯|太鼓}\n# note\n[[金魚|綿あめ]]\n", encoding="utf-8")
    panel = make()
    panel.form.steps.setValue(9)
    drop(panel, file)
    qtbot.waitUntil(lambda: len(said.all) == 1)
    (job,) = context.ledger.jobs()
    assert job.name == "祭り.txt" and job.total == 3 and {r.request.steps for _, r in context.ledger.every()} == {9}


def test_a_bad_line_is_named_and_nothing_is_added(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, said: Said, tmp_path: Path
) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("prompt,steps\nすし,20\nそば,many\n", encoding="utf-8")
    drop(make(), file)
    qtbot.waitUntil(lambda: len(said.all) == 1)
    assert "line 3" in said.all[0][0] and context.ledger.jobs() == []


def test_what_cannot_be_dropped_is_told_of(make: Callable[[], ComposePanel], said: Said, tmp_path: Path) -> None:
    drop(make(), tmp_path / "film.mp4")
    assert "film.mp4" in said.all[0][0] and ".csv" in said.all[0][1]


def test_a_file_dropped_on_the_editor_is_no_text(make: Callable[[], ComposePanel]) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile("/tmp/a.csv")])
    data.setText("file:///tmp/a.csv")
    assert not make().prompt.canInsertFromMimeData(data)


def picture(folder: Path, request: ImageRequest) -> Path:
    import numpy as np

    from engine.contract import recipe
    from engine.imagefile.image import to_bytes

    made = recipe.build(
        request,
        model="commonart-mini",
        hashes={"denoiser": "a" * 64},
        backend={"backend": "fake", "device": "cpu", "dtype": "fp32"},
        batch=(1, 0),
        pixel_sha256="0",
        app="test",
    )
    path = folder / "made.png"
    path.write_bytes(to_bytes(np.zeros((32, 48, 3), np.uint8), "png", made))
    return path


def test_a_picture_gives_its_settings_back(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, said: Said, tmp_path: Path
) -> None:
    asked = ImageRequest(
        prompt="{そのまま}",
        seed=2**40,
        negative="犬",
        steps=33,
        guidance=3.0,
        sampler="euler",
        width=48,
        height=32,
        out="/somewhere/else",
        model="/private/place",
    )
    panel = make()
    panel.prompt.setPlainText("まえの文")
    drop(panel, picture(tmp_path, asked))
    qtbot.waitUntil(lambda: len(said.all) == 1, timeout=10_000)
    now = panel.values()
    assert (now["prompt"], now["negative"], now["steps"], now["guidance"], now["sampler"], now["seed"]) == (
        "\\{そのまま\\}",
        "犬",
        33,
        3.0,
        "euler",
        str(2**40),
    )
    assert now["model"] == "commonart-mini" and now["out"] == "" and (now["width"], now["height"]) == (48, 32)
    said.all[0][3]()  # undo
    assert panel.prompt.toPlainText() == "まえの文" and panel.form.steps.value() == 20


def test_a_picture_without_a_recipe_is_told_of(
    qtbot: QtBot, make: Callable[[], ComposePanel], said: Said, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    drop(make(), tmp_path / "a.png")
    qtbot.waitUntil(lambda: len(said.all) == 1, timeout=10_000)
    assert "a.png" in said.all[0][0]


def test_parameters_of_other_tools() -> None:
    text = 'a cat, {x}\nNegative prompt: dog\nSteps: 28, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 42, Size: 512x768, Model: "a, b"'
    assert settings_of_parameters(asdict(read_parameters({"parameters": text})), "x.png") == {
        "prompt": "a cat, \\{x\\}",
        "negative": "dog",
        "count": 1,
        "sampler": "dpm++2m-karras",
        "width": 512,
        "height": 768,
        "steps": 28,
        "guidance": 7.5,
        "seed_mode": "fixed",
        "seed": "42",
    }
    with pytest.raises(NoRecipe):
        settings_of_parameters(None, "x.png")


def paste(panel: ComposePanel, text: str) -> None:
    data = QMimeData()
    data.setText(text)
    panel.prompt.insertFromMimeData(data)


def test_pasted_lines_may_be_several_prompts(
    qtbot: QtBot, make: Callable[[], ComposePanel], said: Said, context: Context
) -> None:
    panel = make()
    panel.prompt.setPlainText("before ")
    panel.prompt.moveCursor(panel.prompt.textCursor().MoveOperation.End)
    paste(panel, "one line")
    assert said.all == [] and panel.prompt.toPlainText() == "before one line"
    paste(panel, "# list\r\n\nred apple\n\\#fff cat\r\n  dog  \n")
    text, hint, action, do = said.all.pop()
    assert "3" in text and "3" in action and "1" in hint and "red apple" in panel.prompt.toPlainText() and do
    do()
    assert panel.prompt.toPlainText() == "before one line"
    settle(qtbot, panel)
    rows = [row for _, row in context.ledger.every()]
    assert [row.request.prompt for row in rows] == ["red apple", "#fff cat", "dog"]


def test_pasted_lines_stay_one_prompt_if_nothing_is_said(
    qtbot: QtBot, make: Callable[[], ComposePanel], said: Said, context: Context
) -> None:
    panel = make()
    paste(panel, "red apple,\nwatercolour")
    do = said.all.pop()[3]
    panel.prompt.moveCursor(panel.prompt.textCursor().MoveOperation.End)
    panel.prompt.insertPlainText(", more")
    assert do is not None
    panel.form.seed.set_value("fixed", "x")
    do()
    assert context.ledger.counts()["waiting"] == 0 and "not valid" in said.all[-1][0]
    panel.form.seed.set_value("fixed", "5")
    do()
    settle(qtbot, panel)
    assert panel.prompt.toPlainText() == "red apple,\nwatercolour, more"  # typed since: it stays
    assert [row.request.prompt for _, row in context.ledger.every()] == ["red apple,", "watercolour"]


def test_what_a_dropped_prompt_file_leaves_out_is_shown(
    qtbot: QtBot, make: Callable[[], ComposePanel], said: Said, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("prompt,negatve\ncat,fog\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("#fff cat\ndog\n", encoding="utf-8")
    panel = make()
    for name, words in (("a.csv", ("negatve", "negative")), ("b.txt", ("1", "#"))):
        panel.take_files([str(tmp_path / name)])
        settle(qtbot, panel)
        assert all(word in said.all[-1][1] for word in words)


# presets ----------------------------------------------------------------------------------------------------------


def test_the_built_in_presets(make: Callable[[], ComposePanel]) -> None:
    panel = make()
    assert [(p.name, p.values["steps"]) for p in presets.built_in()] == [("Draft", 10), ("Normal", 20), ("Careful", 40)]
    assert panel.presets.combo.currentText() == "Normal" and not panel.presets.delete_button.isEnabled()
    panel.presets.combo.setCurrentIndex(1)
    panel.presets.combo.activated.emit(1)
    assert panel.form.steps.value() == 10 and panel.presets.combo.currentText() == "Draft"
    panel.form.steps.setValue(11)
    assert panel.presets.combo.currentText() == "Own settings"


def test_a_preset_of_ones_own(make: Callable[[], ComposePanel], said: Said) -> None:
    panel = make()
    panel.form.steps.setValue(77)
    panel.negative.setPlainText('文字 "と" \\ 枠')
    panel.presets.save_button.click()
    panel.presets.name.setText("a/b")
    panel.presets.keep_button.click()
    assert panel.presets.error.isVisible() and not list(presets.folder().glob("*"))
    panel.presets.name.setText("祭り")
    panel.presets.keep_button.click()
    assert panel.presets.combo.currentText() == "祭り" and not panel.presets.error.isVisible()
    kept = presets.read(presets.folder() / "祭り.toml")
    assert kept["steps"] == 77 and kept["negative"] == '文字 "と" \\ 枠' and not {"out", "prompt", "seed"} & kept.keys()
    panel.form.steps.setValue(5)
    panel.negative.setPlainText("")
    index = panel.presets.combo.findText("祭り")
    panel.presets.combo.setCurrentIndex(index)
    panel.presets.combo.activated.emit(index)
    assert panel.form.steps.value() == 77 and panel.negative.toPlainText() == '文字 "と" \\ 枠'
    panel.presets.delete_button.click()
    assert presets.of_user() == ([], []) and said.all[-1][2] == "Undo"
    said.all[-1][3]()
    assert [p.name for p in presets.of_user()[0]] == ["祭り"]


@pytest.mark.parametrize("text", ["steps = ", 'out = "/etc"', 'steps = "many"', "steps = 0", "steps = true"])
def test_a_bad_preset_is_told_of(make: Callable[[], ComposePanel], text: str) -> None:
    presets.folder().mkdir(parents=True)
    (presets.folder() / "x.toml").write_text(text)
    panel = make()
    assert panel.presets.error.isVisible() and panel.presets.combo.findText("x") < 0


def test_a_preset_that_cannot_be_saved_is_told_of(tmp_path: Path) -> None:
    presets.folder().parent.mkdir(parents=True, exist_ok=True)
    presets.folder().write_text("a file in the way")
    with pytest.raises(OutputFolder):
        presets.save("a", {"steps": 3})


# drafts and the first run -----------------------------------------------------------------------------------------


def test_a_draft_comes_back(qtbot: QtBot, make: Callable[[], ComposePanel], context: Context) -> None:
    first = make()
    first.prompt.setPlainText("書きかけ {a|")
    values: dict[str, Any] = {
        "negative": "犬",
        "steps": 31,
        "guidance": 2.25,
        "sampler": "heun",
        "seed_mode": "fixed",
        "seed": "12x",
        "count": 1234,
        "name": "../bad",
        "format": "webp",
        "dtype": "bf16",
        "deterministic": True,
        "job": "祭り",
        "out": "~/絵",
        "shape": "free",
        "width": 33,
        "height": 64,
    }
    first.fill(values)
    first.keep()
    again = make()
    assert again.values() == first.values() and again.values() | values == again.values()


def test_what_is_typed_is_kept_without_being_asked(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context
) -> None:
    panel = make()
    panel.prompt.setPlainText("猫")
    qtbot.waitUntil(lambda: "猫" in str(context.state.value(DRAFT, "")), timeout=3000)


@pytest.mark.parametrize(
    "kept", ["[", "[]", '{"steps": "many", "count": true, "width": null, "prompt": 3, "sampler": [], "shape": "round"}']
)
def test_a_damaged_draft_does_no_harm(make: Callable[[], ComposePanel], context: Context, kept: str) -> None:
    context.state.setValue(DRAFT, kept)
    assert make().form.steps.value() == 20


def test_the_first_run(qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, said: Said) -> None:
    panel = make()
    assert panel.card.isVisible()
    panel.card.buttons[0].click()
    panel.now_button.click()
    qtbot.waitUntil(lambda: len(said.all) == 1)
    assert prompts(context.ledger) == ["りんご、フラット調"] and not panel.card.isVisible()
    assert not make().card.isVisible()


def test_another_default_model_is_followed(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, tmp_path: Path
) -> None:
    panel = make()
    context.settings.put(model="other")
    assert panel.form.model.value() == "other"
    panel.form.model.set_value("chosen")
    context.settings.put(model="third")
    assert panel.form.model.value() == "chosen"


def test_settings_of_a_request_are_json() -> None:
    assert json.loads(json.dumps(settings_of_request(ImageRequest(prompt="猫", seed=3))))["seed"] == "3"


# LoRAs and quality ------------------------------------------------------------------------------------------------


def lora_file(path: Path) -> Path:
    """A LoRA of one layer."""
    import numpy as np
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    down, up = np.zeros((4, 8), np.float32), np.zeros((8, 4), np.float32)
    stem = "transformer.transformer_blocks.0.attn1.to_q"
    save_file(
        {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up},
        path,
        metadata={"commonart.licences": '{"CC-BY-4.0": 3}', "commonart.trigger": "水彩風"},
    )
    return path


def test_loras_are_chosen_dropped_and_weighed(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, started: list[bool], tmp_path: Path
) -> None:
    lora_file(tmp_path / "home" / "loras" / "水彩.safetensors")
    outside = lora_file(tmp_path / "elsewhere" / "線画.safetensors")
    panel = make()
    field = panel.form.loras
    assert not field.rows.isVisible() and not field.merged.isVisible()
    at = field.combo.findData("水彩")
    assert "CC-BY-4.0" in field.combo.itemData(at, Qt.ItemDataRole.ToolTipRole) and "水彩風" in field.combo.itemData(
        at, Qt.ItemDataRole.ToolTipRole
    )
    field.combo.setCurrentIndex(at)
    field.combo.activated.emit(at)
    drop(panel, outside)
    drop(panel, outside)  # twice is once
    assert (
        field.value() == [["水彩", 1.0], [str(outside), 1.0]]
        and field.rows.isVisible()
        and panel.form.first_problem() is None
    )
    field.scales[0].setValue(0.65)
    field.scales[1].setValue(7)
    assert field.value() == [["水彩", 0.65], [str(outside), 2.0]]
    panel.form.quality.setCurrentIndex(panel.form.quality.findData("fast"))
    assert panel.form.quality_hint.isVisible() and panel.form.quality_hint.text() == panel.form.quality.toolTip()
    panel.prompt.setPlainText("猫")
    panel.add()
    qtbot.waitUntil(lambda: started == [True], timeout=20_000)
    ((_, row),) = context.ledger.every()
    assert (
        row.request.loras == (("水彩", 0.65), (str(outside), 2.0))
        and row.request.preset == "fast"
        and row.request.lora_merged
    )
    kept = panel.values()
    field.removers[0].click()
    assert field.value() == [[str(outside), 2.0]]
    panel.fill(json.loads(json.dumps(kept)))
    assert panel.values() == kept
    presets.save("みずえ", kept)
    mine, wrong = presets.of_user()
    assert wrong == [] and mine[0].values["loras"] == kept["loras"] and mine[0].values["preset"] == "fast"
    panel.fill(
        settings_of_request(ImageRequest(prompt="x", seed=1, loras=(("水彩", 0.5),), preset="draft", lora_merged=False))
    )
    assert (
        field.value() == [["水彩", 0.5]]
        and not field.merged.isChecked()
        and panel.form.quality.currentData() == "draft"
    )


def test_a_lora_that_is_not_here_is_told_of(
    qtbot: QtBot, make: Callable[[], ComposePanel], context: Context, said: Said
) -> None:
    panel = make()
    panel.prompt.setPlainText("猫")
    panel.fill({"loras": [["nowhere", 0.5], ["x", "y"], 3]})
    assert panel.form.loras.value() == [["nowhere", 0.5]]
    assert "nowhere" in panel.form.loras.error.text() and panel.form.first_problem() is panel.form.loras.combo
    panel.add()
    assert context.ledger.counts()["waiting"] == 0
    panel.form.loras.remove(0)
    assert panel.form.first_problem() is None and not panel.form.loras.error.isVisible()


def test_loras_of_one_name_and_folders_of_peft(make: Callable[[], ComposePanel], tmp_path: Path) -> None:
    """Each of two is listed by its own path below the LoRA folder.

    Their common name is asked about; a folder can be dropped.
    """
    inside = [lora_file(tmp_path / "home" / "loras" / place / "線画.safetensors") for place in ("a", "b")]
    lora_file(tmp_path / "home" / "loras" / "水彩" / "adapter_model.safetensors")
    folder = lora_file(tmp_path / "elsewhere" / "adapter_model.safetensors").parent
    panel = make()
    field = panel.form.loras
    assert [field.combo.itemData(n) for n in range(1, 4)] == ["a/線画", "b/線画", "水彩"]
    drop(panel, inside[1])
    drop(panel, folder)
    assert field.value() == [["b/線画", 1.0], [str(folder), 1.0]] and panel.form.first_problem() is None
    panel.fill({"loras": [["線画", 1.0]]})
    assert panel.form.first_problem() is field.combo
    assert "a/線画" in field.error.text() and "b/線画" in field.error.text()
