"""The Evaluation page: a stand-in for the evaluator that tells the same lines, and one real evaluation with the bundled
model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication, QImage
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from commonart_desktop.core import process
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.evaluate import job
from commonart_desktop.gui.pages.evaluate.image_pairs import PairsModel
from commonart_desktop.gui.pages.evaluate.page import EvaluatePage
from commonart_desktop.gui.pages.evaluate.report import parse, read_report
from commonart_desktop.gui.pages.evaluate.run import EvaluateRun
from commonart_desktop.gui.pages.evaluate.tables import MetricLabels
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.widgets.cell_table import CellsModel
from engine.contract.errors import BadFile, RecipesDiffer, RunDiffers, TooFewToCompare
from tests.gui.test_walk import cut, of, sticks_out

WAIT = 30_000
#: tells what ``python -m trainer.evaluation`` tells; a file beside it says when to go on and how to end
SCRIPT = """
import json, shutil, signal, sys, time
from pathlib import Path

signal.signal(signal.SIGTERM, signal.default_int_handler)
here = Path(__file__).parent
out = Path(next(a for a in sys.argv if a.startswith("--out="))[6:])
with (here / "asked.jsonl").open("a", encoding="utf-8") as f:
    f.write(json.dumps(sys.argv[1:]) + "\\n")
plan = json.loads((here / "plan.json").read_text(encoding="utf-8"))

def refuse(error):
    print(json.dumps({"ok": False, "error": error}))
    sys.exit(2)

if plan.get("taken") == out.name:
    refuse(plan["differs"])
try:
    for n in range(1, 9):
        while n > plan["free"] and not (here / "go").exists():
            time.sleep(0.01)
        print(json.dumps({"progress": n, "total": 8}), file=sys.stderr, flush=True)
except KeyboardInterrupt:
    sys.exit(130)
if plan.get("error"):
    refuse(plan["error"])
shutil.copytree(here / "made", out, dirs_exist_ok=True)
answer = json.loads((out / "result.json").read_text(encoding="utf-8"))
answer.pop("items")
print(json.dumps({"ok": True, **answer, "result": str(out / "result.json"), "report": str(out / "report.html")}))
"""


def make_result(folder: Path, prompts: int = 3) -> dict[str, Any]:
    """An evaluation's folder, as the program writes it."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "report.html").write_text("<p>report</p>", encoding="utf-8")
    items = []
    for n in range(prompts):
        for lang, prompt in (("ja", f"すし{n}"), ("en", f"sushi {n}")):
            name = f"pictures/{lang}-{n:05}-00.png"
            image = QImage(32, 32, QImage.Format.Format_RGB32)
            image.fill(0xFF204060 + 40 * n)
            assert image.save(str(folder / name))
            items.append(
                {
                    "lang": lang,
                    "index": n,
                    "copy": 0,
                    "seed": 1000 + n,
                    "prompt": prompt,
                    "file": name,
                    "place": n,
                    "cosines": {"siglip": 0.25},
                }
            )
    table = [
        {"measure": m, "lang": lang, "value": v, "low": v - 0.05, "high": v + 0.02, "n": n}
        for m, v in (("top1", 0.9), ("top5", 0.96))
        for lang, n in (("ja", 3), ("en", 3), ("both", 6))
    ]
    why = {
        "template": "it needs {least} images on either side; there are {n} drawn and {reference} to compare with",
        "fields": {"least": 2048, "n": 6, "reference": 60},
    }
    for lang in ("ja", "en", "both"):
        table.append(
            {
                "measure": "cmmd",
                "encoder": "siglip",
                "lang": lang,
                "value": 1.5,
                "low": 1.2,
                "high": 1.9,
                "n": 6,
                "reference": 60,
            }
        )
        table.append({"measure": "fid", "encoder": "siglip", "lang": lang, "n": 6, "reference": 60, "refused": why})
    data = {
        "commonart_evaluation": 1,
        "model": {"name": "stub", "loras": [{"name": "ink", "scale": 0.8}]},
        "recipe": {
            "seed": 1000,
            "copies": 1,
            "steps": 20,
            "guidance": 4.5,
            "sampler": "dpm++2m",
            "width": 32,
            "height": 32,
            "negative": "",
        },
        "encoders": [{"name": "siglip", "sha256": "0" * 64, "resizer": "bicubic"}],
        "reference": {"name": "real", "n": 60, "sha256": "1" * 64},
        "concepts": None,
        "table": table,
        "skipped": [{"file": "x.png"}],
        "notes": ["a note"],
        "items": items,
        "missed_ja": ["すし9"],
        "against": {
            "model": "other",
            "loras": [],
            "differences": [
                {"measure": "top1", "lang": "ja", "value": 0.1, "low": 0.02, "high": 0.2, "p": 0.01, "n": 3},
                {"measure": "cmmd", "encoder": "siglip", "lang": "both", "value": -0.3, "p": 0.2, "n": 6},
            ],
        },
    }
    (folder / "result.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return data


class Evaluator:
    """The stand-in: ``plan`` what it will do, ``asked`` with what it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "stand_in_evaluation.py").write_text(SCRIPT, encoding="utf-8")
        make_result(folder / "made")
        self.plan()

    def plan(self, **changes: Any) -> None:
        (self.folder / "plan.json").write_text(json.dumps({"free": 8} | changes), encoding="utf-8")

    def go_on(self) -> None:
        (self.folder / "go").touch()

    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "asked.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def evaluator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluator:
    """The evaluator's program is the stand-in; all others are real."""
    made = Evaluator(tmp_path / "stand_in")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(made.folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))

    def stood_in(module: str, arguments: Sequence[str], **more: Any) -> dict[str, Any]:
        assert module == "trainer.evaluation"
        return process.program("stand_in_evaluation", arguments, **more)

    monkeypatch.setattr(job, "program", stood_in)
    return made


@pytest.fixture
def build(qtbot: QtBot, context: Context, evaluator: Evaluator) -> Callable[[], EvaluatePage]:
    return lambda: built(qtbot, context)


def built(qtbot: QtBot, context: Context) -> EvaluatePage:
    page = EvaluatePage(context)
    qtbot.addWidget(page)
    page.resize(1200, 800)
    page.show()
    qtbot.waitUntil(lambda: not page.busy(), timeout=WAIT)
    return page


def over(qtbot: QtBot, page: EvaluatePage) -> None:
    qtbot.waitUntil(lambda: page.run is None and not page.busy(), timeout=WAIT)


def test_from_the_button_to_the_table(
    qtbot: QtBot,
    build: Callable[[], EvaluatePage],
    context: Context,
    evaluator: Evaluator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(QUrl(url).toLocalFile()) or True)
    prompts = tmp_path / "mine.txt"
    prompts.write_text("すし\nsushi\n", encoding="utf-8")
    reference = tmp_path / "real"
    reference.mkdir()
    evaluator.plan(free=4)
    page = build()
    assert page.shown() == "empty" and page.go.isEnabled()
    page.form.prompts.field.setText(str(prompts))
    page.form.reference.field.setText(str(reference))
    page.form.encoders.add("/enc/siglip")
    page.form.encoders.add("/enc/dino.onnx")
    page.form.encoders.removers[1].click()
    page.form.count.setValue(2)
    page.form.seed.setValue(7)
    qtbot.keyClick(page.form.prompts.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert (
        page.shown() == "running"
        and not page.form.isEnabled()
        and not page.go.isEnabled()
        and page.running.bar.isHidden()
    )
    qtbot.waitUntil(lambda: page.run is not None and page.run.done == 4, timeout=WAIT)
    assert page.running.now.text() == "4 of 8 images drawn or measured" and page.running.bar.isVisible()
    assert page.run is not None and page.run.left() is not None and " so far" in page.running.time.text()
    page.run._first = (page.run._last - 40, 0)  # as if it had taken its time
    page.running._update()
    assert "about 40 s left" in page.running.time.text()
    evaluator.go_on()
    over(qtbot, page)
    asked = evaluator.asked()[0]
    assert {
        "--lang=ja,en",
        "--count=2",
        "--seed=7",
        "--steps=20",
        "--guidance=4.5",
        f"--prompts={prompts}",
        f"--reference={reference}",
        "--encoder=/enc/siglip",
    } <= set(asked)
    assert not any("dino" in a for a in asked) and asked[-2:] == ["--", str(tmp_path / "stub")]
    view = page.report
    assert page.shown() == "report" and view.title.text() == "stub + ink:0.8" and view.copy.hasFocus()
    assert [c.text for c in view.figures.titles] == ["Figure", "Japanese", "English", "Both"]
    assert [c.text for c in view.figures.rows[0]] == ["Top-1", *(f"90.0 %\n(85.0 – 92.0 %)\nn {n}" for n in (3, 3, 6))]
    assert "95 % interval" in view.figures.rows[0][1].tip and "More is better" in view.figures.rows[0][0].tip
    assert view.figures.rows[2][1].text == "1.500\n(1.200 – 1.900)\nn 6 / 60"
    assert view.figures.rows[3][1].text == "–" and "2048" in view.figures.rows[3][1].tip
    assert (
        "No FID [siglip]: it needs 2048 images" in view.notes.text()
        and view.notes.text().count("No FID") == 1
        and "a note" in view.notes.text()
    )
    assert [[c.text for c in row][-1] for row in view.differences.rows] == [
        "better",
        "no clear difference",
    ] and view.compared.text() == "Difference from other"
    view.tabs.setCurrentIndex(1)
    QApplication.processEvents()
    qtbot.waitUntil(lambda: bool(view.images.pairs._images) and not page.busy(), timeout=WAIT)
    model = view.images.pairs
    assert [model.index(1, c).data() for c in (0, 1)] == ["すし1", "sushi 1"]
    assert model.index(0, 0).data(Qt.ItemDataRole.DecorationRole).width() == 128
    view.page.click()
    view.images.activated.emit(model.index(0, 1))
    out = page.running.location.text()
    assert [Path(p) for p in opened] == [
        Path(out) / "report.html",
        Path(out) / "pictures" / "en-00000-00.png",
    ] and Path(out).parent == context.out / "evaluation"
    view.copy.click()
    assert "Top-1\t90.0 % (85.0 – 92.0 %) n 3" in QGuiApplication.clipboard().text()


def test_stop_refusals_and_another_recipe(
    qtbot: QtBot, build: Callable[[], EvaluatePage], context: Context, evaluator: Evaluator, tmp_path: Path
) -> None:
    said: list[str] = []
    context.notices.asked.connect(lambda text, *_: said.append(text))
    page = build()
    evaluator.plan(free=3)
    page.start()
    qtbot.waitUntil(lambda: page.run is not None and page.run.done == 3, timeout=WAIT)
    assert page.running.stop.hasFocus()
    qtbot.keyClick(page.running.stop, Qt.Key.Key_Space)
    assert page.run is not None and page.run.stopping and "Stopping" in page.running.now.text()
    over(qtbot, page)
    assert (
        page.shown() == "empty"
        and "goes on from there" in page.message.text()
        and said == [page.message.text()]
        and page.go.isEnabled()
    )

    earlier = tmp_path / "earlier.json"
    earlier.write_text("{}", encoding="utf-8")
    page.form.against.field.setText(str(earlier))
    evaluator.plan(error=RecipesDiffer(what="seed: 1000 / 7").to_wire())
    page.start()
    over(qtbot, page)
    assert f"--against={earlier}" in evaluator.asked()[-1]
    assert (
        page.report.title.text() == "stub: not evaluated"
        and page.report.summary.text().endswith("seed: 1000 / 7")
        and page.report.advice.text()
    )
    assert not page.report.table.isVisible() and "recipes-differ" in page.report.text()

    few = tmp_path / "few"
    few.mkdir()
    page.form.reference.field.setText(str(few))
    evaluator.plan(error=TooFewToCompare(path=few, count=3, least=50, least_fid=2048).to_wire())
    page.start()
    over(qtbot, page)
    assert (
        "3 image(s)" in page.form.reference.error.text()
        and page.form.reference.field.hasFocus()
        and "--reference" not in page.report.advice.text()
    )
    page.form.reference.field.setText(str(tmp_path / "nowhere"))
    page.start()
    assert page.run is None and "there is no such folder" in page.form.reference.error.text()
    page.form.reference.field.clear()

    name = page.form.request().folder().name
    evaluator.plan(taken=name, differs=RunDiffers(path="x", key="prompts", before="a", now="b").to_wire())
    page.start()
    over(qtbot, page)
    assert page.report.location.text().endswith(f"{name}-2") and page.report.table.isVisible()
    for box in page.form.langs.values():
        box.setChecked(False)
    assert "at least one language" in page.form.langs_error.text() and not page.go.isEnabled()


def test_it_outlives_its_page_and_keeps_its_draft(
    qtbot: QtBot, build: Callable[[], EvaluatePage], context: Context, evaluator: Evaluator
) -> None:
    evaluator.plan(free=2)
    page = build()
    page.form.langs["en"].setChecked(False)
    page.form.limit.setValue(12)
    page.form.encoders.add("/enc/a")
    page.start()
    qtbot.waitUntil(lambda: page.run is not None and page.run.done == 2, timeout=WAIT)
    page.keep()
    page.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # the language changed
    page = EvaluatePage(context)
    qtbot.addWidget(page)
    assert page.shown() == "running" and page.run is not None
    assert (page.form.limit.value(), page.form.encoders.value(), page.form.langs["en"].isChecked()) == (
        12,
        ["/enc/a"],
        False,
    )
    said: list[str] = []
    context.notices.asked.connect(lambda text, *_: said.append(text))
    evaluator.go_on()
    over(qtbot, page)  # it is not visible: another page is
    assert said == ["stub is evaluated."] and page.shown() == "report" and "--lang=ja" in evaluator.asked()[0]
    run = context.notices.findChild(EvaluateRun)
    (evaluator.folder / "go").unlink()
    page.start()
    run = page.run
    qtbot.waitUntil(lambda: run is not None and run.done == 2, timeout=WAIT)
    assert run is not None
    thread = run._task.thread_
    page.deleteLater()
    run.deleteLater()  # as when the program ends
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    thread.join(20)
    assert not thread.is_alive()


def test_results_from_anywhere(
    qtbot: QtBot, build: Callable[[], EvaluatePage], context: Context, tmp_path: Path
) -> None:
    said: list[str] = []
    context.notices.asked.connect(lambda text, *_: said.append(text))
    page = build()
    base = make_result(tmp_path / "r")
    with qtbot.waitSignal(page.opened, timeout=WAIT):
        page.open_report(str(tmp_path / "r" / "result.json"))
    assert len(page.report.report.pairs) == 3 if page.report.report else False
    for n, text in enumerate((b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b" " * (17 << 20))):
        (tmp_path / f"{n}.json").write_bytes(text)
        said.clear()
        page.open_report(str(tmp_path / f"{n}.json"))
        qtbot.waitUntil(lambda: bool(said), timeout=WAIT)
        assert str(tmp_path / f"{n}.json") in said[0], said
    assert page.report.title.text() == "stub + ink:0.8"  # what was shown stays
    assert read_report(str(tmp_path / "5.json"), base).figures  # too large, but the program told the figures itself
    with pytest.raises(BadFile):
        read_report(str(tmp_path / "none.json"))
    odd = [
        None,
        1,
        "x",
        [],
        {},
        1e999,
        -1,
        True,
        10**400,
        "../../etc/passwd",
        {"rows": [{}]},
        [[]],
        [
            {
                "measure": "kid",
                "lang": "ja",
                "value": "1",
                "n": 10**400,
                "refused": {"template": "{x.__class__} {y:999999999} {z}", "fields": {"x": 1, "z": "q"}},
            }
        ],
    ]
    words = MetricLabels()
    for key in base:
        for value in odd:
            result = parse(base | {key: value}, tmp_path / "r")
            words.table(result), words.differences(result), words.refusals(result)
    assert words.refusals(parse(base | {"table": odd[-1]}, tmp_path)) == ["No KID: {x.__class__} {y:999999999} q."]
    outside = tmp_path / "outside.png"
    outside.write_bytes((tmp_path / "r" / "pictures" / "ja-00000-00.png").read_bytes())
    rows = [
        base["items"][0] | {"file": name, "index": n}
        for n, name in enumerate(("../outside.png", str(outside), "pictures/../../outside.png"))
    ]
    assert [p.ja.file for p in parse({"items": rows}, tmp_path / "r").pairs if p.ja] == ["", "", ""]


def test_models(qtbot: QtBot, tmp_path: Path) -> None:
    make_result(tmp_path / "r")
    (tmp_path / "r" / "pictures" / "en-00001-00.png").write_bytes(b"no picture")
    result = read_report(str(tmp_path / "r" / "result.json"))
    cells, pairs = CellsModel(), PairsModel()
    for model in (cells, pairs):
        QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    cells.show_rows(*MetricLabels().table(result))
    assert cells.index(0, 1).data(Qt.ItemDataRole.ToolTipRole).endswith("From 3 images.")
    pairs.show_report(result)
    for n in range(3):
        for c in (0, 1):
            pairs.index(n, c).data(Qt.ItemDataRole.DecorationRole)
    qtbot.waitUntil(lambda: not pairs.pending(), timeout=WAIT)
    assert "cannot be read" in pairs.index(1, 1).data(Qt.ItemDataRole.ToolTipRole) and "ranks 1" in pairs.index(
        0, 1
    ).data(Qt.ItemDataRole.ToolTipRole)
    assert pairs.index(0, 0).data(Qt.ItemDataRole.DecorationRole).size().width() == 128
    pairs.show_report(None)
    assert pairs.rowCount() == 0
    pairs._loader.stop()


def test_nothing_of_a_result_is_cut(
    qtbot: QtBot, qapp: QApplication, context: Context, evaluator: Evaluator, tmp_path: Path
) -> None:
    make_result(tmp_path / "r", 60)
    theme.apply(qapp, "light", 1.25)
    try:
        page = built(qtbot, context)
        theme.apply_style(page)
        page.resize(924, 590)
        with qtbot.waitSignal(page.opened, timeout=WAIT):
            page.open_report(str(tmp_path / "r" / "result.json"))
        QApplication.processEvents()
        wrong = [
            (type(w).__name__, w.text() if hasattr(w, "text") else "", cut(w))
            for w in of(page)
            if cut(w) or (sticks_out(w) and page.isAncestorOf(w))
        ]
        assert wrong == [] and page.size().width() == 924
        assert page.report.table.horizontalHeader().length() <= page.report.table.viewport().width()
        page.report.tabs.setCurrentIndex(1)
        QApplication.processEvents()
        qtbot.waitUntil(lambda: bool(page.report.images.pairs._images) and not page.busy(), timeout=WAIT)
        assert len(page.report.images.pairs._images) < 20  # only what is on screen
    finally:
        theme.apply(qapp, "light")


def test_a_real_evaluation(qtbot: QtBot, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COMMONART_BACKEND", "fake")  # all but the drawing is real; with torch it takes 10 s
    prompts = tmp_path / "two.txt"
    prompts.write_text("すし\nsushi\n", encoding="utf-8")
    context.settings.put(model="commonart-mini")
    page = built(qtbot, context)
    page.form.prompts.field.setText(str(prompts))
    page.form.steps.setValue(2)
    page.start()
    qtbot.waitUntil(lambda: page.run is None, timeout=90_000)
    view = page.report
    assert view.error is None, view.text()
    assert [c.text for c in view.figures.titles] == ["Figure", "Japanese", "English", "Both"] and [
        r[0].text for r in view.figures.rows
    ] == ["Top-1", "Top-5"]
    assert view.report is not None and [(p.ja.prompt, p.en.prompt) for p in view.report.pairs if p.ja and p.en] == [
        ("すし", "sushi")
    ]
    assert not view.page.isHidden() and Path(view.report.page).is_file()
