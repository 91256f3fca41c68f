"""The Training page: a real dataset folder under the real licence check, records put right in place, and runs from
start to result.

The runs are those of ``tests/support/fake_trainer.py``, put in at one seam: the name of the module that is started.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from commonart_desktop.core import runs
from commonart_desktop.core.process import program
from commonart_desktop.core.runs import Run, new_run
from commonart_desktop.core.train_config import Choices, config_text
from commonart_desktop.core.training_story import Curve, EventTail
from commonart_desktop.gui.background.training_runs import TrainingRuns
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.train.dataset_panel import IMPORT
from commonart_desktop.gui.pages.train.findings_model import EVERY, FILE, REASON, RULE, SEVERITY
from commonart_desktop.gui.pages.train.loss_plot import LossPlot, ticks
from commonart_desktop.gui.pages.train.page import IMAGES, RUNS, SETTINGS, TrainPage
from engine.contract.errors import QueueHeld
from engine.contract.ledger.selection import Selection
from engine.contract.request import ImageRequest
from tests.support.images import make_dataset
from tests.support.sentences import ROOT

WAIT = 60_000
FATAL = QAbstractItemModelTester.FailureReportingMode.Fatal


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "set", 6, size=48)


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A dataset with three faults: two records without a licence, one attribution without a creator."""
    import shutil

    made = shutil.copytree(template, tmp_path / "set")
    rows = [json.loads(line) for line in (made / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    rows[1]["license"] = rows[2]["license"] = ""
    rows[4]["creator"] = ""
    (made / "metadata.jsonl").write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8"
    )
    return made


@pytest.fixture
def page(qtbot: QtBot, context: Context, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainPage]:
    monkeypatch.setattr(runs, "MODULE", "tests.support.fake_trainer")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # our processes import nothing from the folder that they start in
    made = TrainPage(context)
    qtbot.addWidget(made)
    testers = [
        QAbstractItemModelTester(m, FATAL)
        for m in (made.runs.model, made.dataset.findings.model, made.dataset.findings.filter, made.run.strip.previews)
    ]
    made.resize(1280, 800)
    made.show()
    qtbot.waitUntil(lambda: made.trainings.listed and made.setup.model.count() > 0, timeout=WAIT)
    yield made
    for run in made.trainings.runs:
        runs.end(run)  # where a test broke off
    del testers


def checked(qtbot: QtBot, page: TrainPage, folder: Path) -> None:
    page.dataset.set_folder(str(folder))
    qtbot.waitUntil(lambda: page.dataset.passed is not None, timeout=WAIT)


def prepared(context: Context, steps: int = 12, seed: int = 0, name: str = "mine") -> Run:
    text = config_text(Choices(name=name, dataset="set", model="m", steps=steps, seed=seed, prompts=("すし",)))
    return new_run(name, text, result=name, model="m", prompts=True, device="auto")


def state(page: TrainPage, run: Run) -> str:
    return page.trainings.state(run)


def shown(page: TrainPage) -> list[list[str]]:
    model = page.dataset.findings.filter
    return [[model.index(r, c).data() for c in range(4)] for r in range(model.rowCount())]


def test_a_refused_folder_is_put_right_in_place(qtbot: QtBot, page: TrainPage, folder: Path) -> None:
    data = page.dataset
    assert not page.start.isEnabled() and "Choose a folder" in page.hint.text()
    checked(qtbot, page, folder)
    assert data.passed is False and "3 reason(s)" in data.outcome.text() and not page.start.isEnabled()
    assert "6 images" in data.contents.text() and "CC0-1.0 2" in data.contents.text()
    rows = shown(page)
    assert [r[SEVERITY] for r in rows] == ["refused"] * 3 and [r[RULE] for r in rows].count("no licence") == 2
    assert all(r[REASON] for r in rows)
    data.findings.filter_rule("licence-missing")
    assert len(shown(page)) == 2
    data.findings.table.setFocus()
    data.findings.table.selectAll()
    assert data.findings.record.title.text() == "2 images"
    qtbot.waitUntil(lambda: not data.findings.picture.pixmap.isNull())
    record = data.findings.record
    assert record.lines["creator"].placeholderText().startswith("various") and not record.save.isEnabled()
    record.lines["license"].setText("CC-BY")
    assert record.save.isEnabled()
    before = (folder / "metadata.jsonl").read_bytes()
    qtbot.keyClick(record.lines["license"], Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: record.under["license"].isVisible(), timeout=WAIT)
    assert (folder / "metadata.jsonl").read_bytes() == before and record.lines["license"].text() == "CC-BY"
    record.license.setEditText("CC-BY-4.0")
    record.save.click()
    qtbot.waitUntil(lambda: record.told.isVisible() and "2 record(s)" in record.told.text(), timeout=WAIT)
    assert data.passed is None and "again" in data.outcome.text()
    data.findings.filter_rule("attribution")
    data.findings.table.selectRow(0)
    record.lines["creator"].setText("山田 花子")
    record.save.click()
    qtbot.waitUntil(lambda: "1 record(s)" in record.told.text(), timeout=WAIT)
    qtbot.keyClick(page, Qt.Key.Key_F5)
    qtbot.waitUntil(lambda: data.passed is True, timeout=WAIT)
    assert page.start.isEnabled() and page.hint.text() == "" and data.check.text() == "Check again"
    assert program("trainer.dataset", ["check", "--", str(folder)])["passed"]
    assert (folder / "0000").exists() is False and {p.name for p in folder.iterdir() if p.suffix == ".png"} == set(
        data.records
    )


def test_pictures_without_findings_captions_and_another_policy(
    qtbot: QtBot, page: TrainPage, template: Path, tmp_path: Path
) -> None:
    import shutil

    folder = shutil.copytree(template, tmp_path / "good")
    strict = tmp_path / "strict.toml"
    strict.write_text('name = "strict"\n[classes]\nby = "block"\n', encoding="utf-8")
    checked(qtbot, page, folder)
    data = page.dataset
    assert data.passed is True and data.findings.rule.currentData() == EVERY and data.findings.filter.rowCount() == 6
    data.findings.table.selectRow(0)
    name = data.findings.filter.index(0, FILE).data()
    data.findings.record.captions["text_ja"].setPlainText("りんご\n赤いりんご")
    data.findings.record.save.click()
    qtbot.waitUntil(lambda: data.records[name]["text_ja"] == ["りんご", "赤いりんご"], timeout=WAIT)
    data.policy.set_file(str(strict))
    qtbot.waitUntil(lambda: data.passed is False, timeout=WAIT)
    assert {r[RULE] for r in shown(page)} == {"licence not allowed"} and not page.start.isEnabled()
    page.keep()
    assert page._context.state.value("train/folder") == str(folder) and page._context.state.value(
        "train/policy"
    ) == str(strict)


def test_a_folder_without_records_is_imported(qtbot: QtBot, page: TrainPage, template: Path, tmp_path: Path) -> None:
    bare = tmp_path / "photos"
    bare.mkdir()
    for n, picture in enumerate(sorted(template.glob("*.png"))):
        (bare / picture.name).write_bytes(picture.read_bytes())
        (bare / f"{picture.stem}.txt").write_text(f"a picture {n}", encoding="utf-8")
    drop(page, bare)
    panel = page.dataset.importer
    qtbot.waitUntil(lambda: page.dataset.stack.currentIndex() == IMPORT, timeout=WAIT)
    assert panel.license.currentText() == "" and not page.start.isEnabled()
    panel.format.setCurrentIndex(panel.format.findData("plain"))
    panel.go.click()
    assert "never guessed" in panel.under["license"].text() and not (tmp_path / "photos-dataset").exists()
    panel.format.setCurrentIndex(0)
    panel.go.click()  # the importer asks too
    qtbot.waitUntil(lambda: bool(panel.under["license"].text()) and not page.dataset.busy(), timeout=WAIT)
    panel.license.setEditText("LicenseRef-Own")
    panel.creator.setText("Studio")
    (bare / "notes.doc").write_bytes(b"x")
    panel.go.click()
    qtbot.waitUntil(lambda: page.dataset.passed is True, timeout=WAIT)
    assert "13 files and rows: 6 images are in, 6 read as records, 1 left out." in page.dataset.imported.text()
    assert "notes.doc" in page.dataset.imported.text()
    assert (
        page.dataset.folder == str(tmp_path / "photos-dataset")
        and page.start.isEnabled()
        and len(page.dataset.records) == 6
    )
    assert len(list(bare.glob("*.png"))) == 6


def drop(page: TrainPage, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    page.dropEvent(event)


def test_what_is_chosen_is_what_the_trainer_reads(
    qtbot: QtBot, page: TrainPage, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from commonart_desktop.gui.pages.train import page as train_page

    opened: list[str] = []
    monkeypatch.setattr(train_page.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    setup = page.setup
    page.dataset.folder = str(template)
    page.show_part(SETTINGS)
    setup.lr.setText("fast")
    assert setup.problems["lr"].isVisible() and setup.lr.text() == "fast"
    page.start_new()
    assert setup.problems["name"].text() and page.stack.currentIndex() == SETTINGS
    setup.lr.setText("2e-4")
    setup.name.setText("私の画風")
    setup.trigger.setText('ス"タ')
    setup.preset.setCurrentIndex(setup.preset.findData("train-8gb"))
    setup.steps.setValue(77)
    setup.prompts.setPlainText("すし\n\nりんご")
    setup.more.setChecked(True)
    assert setup.advanced.rank.isVisible()
    setup.advanced.rank.setValue(8)
    setup.advanced.layers.setCurrentIndex(1)
    setup.config.setEnabled(True)
    setup.config.click()
    qtbot.waitUntil(lambda: page.runs.model.rowCount() == 1, timeout=WAIT)
    from trainer.config_file import read_config

    run = page.trainings.runs[0]
    config = read_config(run.config)
    assert opened == [str(run.config)] and state(page, run) == "draft" and page.stack.currentIndex() == RUNS
    assert (config.name, config.lora.rank, config.lora.trigger, config.optimiser.lr, config.schedule.steps) == (
        "私の画風",
        8,
        'ス"タ',
        2e-4,
        77,
    )
    assert (
        config.device.checkpointing
        and config.lora.layers == ("transformer_blocks.*",)
        and config.previews.prompts == ("すし", "りんご")
    )
    assert (
        config.dataset[0].folder == str(template)
        and config.base.model == setup.model.currentData()
        and Path(config.output).parent == run.folder
    )
    setup.kind.setCurrentIndex(1)
    setup.changed.emit()
    setup._on_change()
    assert not setup.advanced.rank.isVisible() and not setup.trigger.isEnabled()


def test_a_run_is_followed_to_its_result(
    qtbot: QtBot, page: TrainPage, context: Context, went: list[str], tmp_path: Path
) -> None:
    told: list[tuple[str, str]] = []
    used: list[Any] = []
    offers: list[Callable[[], None]] = []
    context.notices.asked.connect(lambda text, hint, action, do: (told.append((text, action)), offers.append(do)))
    page.use_values.connect(used.append)
    run = prepared(context, 400)
    page.start_run(run)
    qtbot.waitUntil(lambda: page.run.now.step > 5, timeout=WAIT)
    view = page.run
    assert page.stack.currentIndex() == RUNS and state(page, run) == "running" and "Runs (1)" in page.parts[RUNS].text()
    assert "about 2 m left" in view.line.text() and view.plot._held and "by heart" in view.notes.toPlainText()
    view.pause.click()
    qtbot.waitUntil(lambda: state(page, run) == "paused", timeout=WAIT)
    assert view.pause.text() == "Resume"
    view.save.click()
    view.sample.click()
    qtbot.waitUntil(lambda: len(view.now.previews) == 2 and view.now.saved > 3, timeout=WAIT)
    view.pause.click()
    qtbot.waitUntil(lambda: state(page, run) == "done" and bool(run.plan.get("installed")), timeout=WAIT)
    installed = tmp_path / "home" / "loras" / "mine"
    assert {p.name for p in installed.iterdir()} == {
        "mine.safetensors",
        "gate-report.json",
        "ATTRIBUTION.md",
        "README.md",
        "bom.cdx.json",
    }
    assert told[-1][1] == "Use for making images" and view.use.isVisible() and not view.pause.isVisible()
    offers[-1]()
    assert used == [{"loras": [[str(installed / "mine.safetensors"), 1.0]], "model": "m"}] and went == ["make"]
    qtbot.waitUntil(lambda: view.strip.previews.rowCount() == 2 and not view.strip.previews.busy(), timeout=WAIT)


def test_runs_wait_for_each_other_and_are_found_again(qtbot: QtBot, page: TrainPage, context: Context) -> None:
    first, second = prepared(context, 100_000, name="one"), prepared(context, 8, name="two")
    page.start_run(first)
    page.start_run(second)
    qtbot.waitUntil(lambda: page.trainings.follow(first).step > 3, timeout=WAIT)
    assert state(page, second) == "waiting" and page.runs.model.rowCount() == 2
    assert context.ledger.paused()[1]["kind"] == QueueHeld.kind  # type: ignore[index]
    trainings = TrainingRuns(context.ledger, context.engine, context.settings, context.notices, context.state)
    again = TrainPage(replace(context, trainings=trainings))  # as after the window was closed and opened again
    qtbot.addWidget(again)
    again.show()
    qtbot.waitUntil(
        lambda: again.trainings.listed and again.trainings.follow(again.trainings.runs[-1]).step > 3, timeout=WAIT
    )
    found = next(r for r in again.trainings.runs if r.name == "one")
    assert again.trainings.state(found) == "running"
    again.trainings._timer.stop()
    again.trainings.stop(found)
    qtbot.waitUntil(lambda: state(page, first) == "stopped" and state(page, second) == "done", timeout=WAIT)
    qtbot.waitUntil(lambda: not context.ledger.paused()[0], timeout=WAIT)
    page.runs.table.setCurrentIndex(page.runs.model.index(page.runs.model.row_of(first), 1))
    assert page.run.start.text() == "Resume"
    page.run.start.click()
    qtbot.waitUntil(lambda: page.run.now.started["step"] == 3 and page.run.now.step > 4, timeout=WAIT)
    page.trainings.stop(first)
    qtbot.waitUntil(lambda: state(page, first) == "stopped", timeout=WAIT)
    trainings.shut()  # a second window's: the fixture knows only the first
    page.run._remove()
    qtbot.waitUntil(lambda: page.runs.model.rowCount() == 1, timeout=WAIT)
    assert first.config.exists()


def test_a_death_and_a_refusal_are_told_with_what_to_do(qtbot: QtBot, page: TrainPage, context: Context) -> None:
    said: list[tuple[str, str]] = []
    context.notices.asked.connect(lambda text, hint, action, do: said.append((text, action)))
    dying, refused = prepared(context, 20, seed=1, name="dying"), prepared(context, 20, seed=2, name="refused")
    page.start_run(refused)
    qtbot.waitUntil(lambda: state(page, refused) == "failed" and bool(page.run.problem.text()), timeout=WAIT)
    assert "a.png" in page.run.problem.text() and page.run.start.text() == "Try again"
    page.start_run(dying)
    qtbot.waitUntil(lambda: state(page, dying) == "broken-off", timeout=WAIT)
    assert (
        "The training “dying” ended with an error.",
        "Resume",
    ) in said and "without an error message" in page.run.problem.text()
    assert page.run.start.text() == "Resume"
    page.run.start.click()
    qtbot.waitUntil(lambda: state(page, dying) == "done", timeout=WAIT)


def test_the_queue_and_the_training_take_turns(
    qtbot: QtBot, page: TrainPage, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = context.settings.now.model
    job = context.ledger.add_job(
        "j", [ImageRequest(prompt="a", model=model, out=str(tmp_path / "out"), width=32, height=32, seed=1)]
    )
    monkeypatch.setattr(context.engine, "now", "working")
    run = prepared(context, 8)
    page.start_run(run)
    assert page.bar.isVisible() and state(page, run) == "draft" and not context.ledger.paused()[0]
    page.bar.after.click()
    assert not page.bar.isVisible() and state(page, run) == "waiting" and "queue is empty" in page.run.line.text()
    page.trainings._tick()
    assert state(page, run) == "waiting"
    context.ledger.cancel(Selection(jobs=(job,)))
    page.trainings._tick()
    qtbot.waitUntil(lambda: state(page, run) == "done", timeout=WAIT)
    context.ledger.add_job(
        "k", [ImageRequest(prompt="a", model=model, out=str(tmp_path / "out"), width=32, height=32, seed=1)]
    )
    other = prepared(context, 100_000, name="other")
    page.start_run(other)
    assert page.bar.isVisible()
    page.bar.now.click()
    assert context.ledger.paused()[0] and QueueHeld.kind == (context.ledger.paused()[1] or {})["kind"]
    qtbot.waitUntil(lambda: page.trainings.follow(other).step > 1, timeout=WAIT)
    monkeypatch.setattr(context.engine, "now", "off")
    page.run.stop.click()
    qtbot.waitUntil(lambda: state(page, other) == "stopped" and not context.ledger.paused()[0], timeout=WAIT)


def test_the_curve_stays_small_and_goes_back(tmp_path: Path) -> None:
    curve = Curve()
    for n in range(1, 10_001):
        curve.add(n, float(n))
    points = curve.points()
    assert len(points) <= Curve.MOST and points[0][0] < points[-1][0] and all(abs(x - y) < 1e-6 for x, y in points)
    curve.cut(5000)
    assert curve.points()[-1][0] <= 5000 + curve.width
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        b'{"event": "step", "step": 1, "steps": 9, "loss": 0.5, "lr": 1, "norm": 1, "speed": 1, "eta": 1}\n{"event": "st'
    )
    tail = EventTail(path)
    assert tail.read() and tail.story.snapshot().step == 1 and not tail.read()
    with path.open("ab") as f:
        f.write(b'ep", "step": 2, "steps": 9, "loss": 0.4, "lr": 1, "norm": 1, "speed": 1, "eta": 1}\nnonsense\n')
    assert tail.read() and tail.story.snapshot().step == 2


def test_the_plot_draws_and_tells(qtbot: QtBot) -> None:
    assert ticks(0.0, 0.1, 5) == pytest.approx([0, 0.02, 0.04, 0.06, 0.08, 0.1])
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.resize(600, 300)
    empty = plot.grab().toImage()
    line = [(float(n), 1.0 / n) for n in range(1, 200)]
    plot.show_curves(line, line, [(1.0, 0.9), (150.0, 0.2)], 400)
    drawn = plot.grab().toImage()
    plot.set_log(True)
    assert drawn != empty and plot.grab().toImage() != drawn
    qtbot.mouseMove(plot, plot._area().center().toPoint())
    assert plot.value_at(200)[1] == 0.2 and "held out 0.2000" in plot.accessibleDescription()


def test_the_parts_by_keyboard(qtbot: QtBot, page: TrainPage) -> None:
    for part, key in ((SETTINGS, Qt.Key.Key_2), (RUNS, Qt.Key.Key_3), (IMAGES, Qt.Key.Key_1)):
        qtbot.keyClick(page, key, Qt.KeyboardModifier.AltModifier)
        assert page.stack.currentIndex() == part
