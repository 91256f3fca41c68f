"""The Export page: a stand-in for the exporter that tells the same lines, the real lister of models, and one real
export.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QPushButton, QToolButton
from pytestqt.qtbot import QtBot

from commonart_desktop.core import i18n, process
from commonart_desktop.gui.background.tasks import pending_tasks
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.export import job
from commonart_desktop.gui.pages.export.image_pairs import difference
from commonart_desktop.gui.pages.export.page import INTERRUPTED, ExportPage
from commonart_desktop.gui.pages.export.report import PARTS, missed, read_report
from commonart_desktop.gui.pages.export.run import ExportRun
from commonart_desktop.gui.pages.export.tables import BOUNDS, PART, RESULT, RMS, SHAPES, TEXT_COLUMNS, CaseLabels
from commonart_desktop.gui.pages.make.compose_panel import ComposePanel
from commonart_desktop.gui.widgets.cell_table import CellsModel
from engine.contract.errors import BadFile, ParityMissed
from tests.support.stub_model import make_stub

WAIT = 30_000
#: tells what ``python -m engine.export`` tells; a file beside it says when to go on and how to end
SCRIPT = """
import json, os, shutil, signal, sys, time
from pathlib import Path

signal.signal(signal.SIGTERM, signal.default_int_handler)
here, out = Path(__file__).parent, Path(sys.argv[2])
(here / "asked.json").write_text(json.dumps(sys.argv[1:]), encoding="utf-8")
plan = json.loads((here / "plan.json").read_text(encoding="utf-8"))
part = out.with_name(out.name + ".part-0badc0de")
part.mkdir(parents=True)
(part / "model.onnx").write_bytes(b"half")
try:
    for n in range(1, plan["steps"] + 1):
        while n > plan["free"] and not (here / "go").exists():
            time.sleep(0.01)
        print(json.dumps({"progress": n, "total": plan["total"]}), file=sys.stderr, flush=True)
except KeyboardInterrupt:
    if not plan.get("dies"):
        shutil.rmtree(part)
    sys.exit(130)
shutil.rmtree(part)
if plan.get("error"):
    print(json.dumps({"ok": False, "error": plan["error"]}))
    sys.exit(1)
shutil.copytree(plan["report"], out)
print(json.dumps({"ok": True, "out": str(out), "seconds": 1.0, "bytes": 1, "files": 1, "parity": {}}))
"""


def make_report(
    folder: Path, *, dtype: str = "fp32", quantize: str = "none", good: bool = True, changed: int = 0
) -> dict[str, Any]:
    """An exported folder's proof, as the exporter writes it."""
    (folder / "parity").mkdir(parents=True, exist_ok=True)
    shapes = {
        "text_encoder": {"input_ids": [3, 64], "attention_mask": [3, 64]},
        "transformer": {
            "hidden_states": [3, 4, 6, 8],
            "encoder_hidden_states": [3, 64, 32],
            "encoder_attention_mask": [3, 64],
            "timestep": [3],
        },
        "vae_decoder": {"latent_sample": [1, 4, 8, 8]},
        "vae_encoder": {"sample": [1, 3, 32, 32]},
    }
    parts = [
        {
            "part": p,
            "dtype": dtype,
            "bound_rms": 1e-4,
            "bound_max": 1e-3,
            "good": good or p != "transformer",
            "rows": [
                {
                    "shapes": shapes[p],
                    "rms": 3e-7 if good or p != "transformer" else 2e-2,
                    "max": 5e-7,
                    "good": good or p != "transformer",
                }
            ],
        }
        for p in PARTS
    ]
    noise = np.random.default_rng(1)
    rows = []
    for n, prompt in enumerate(("すし", "a red apple, flat style", "青い背景の猫"), 1):
        pixels = noise.integers(0, 250, (32, 32, 3), np.uint8)
        for kind, add in (("pytorch", 0), ("onnx", 2)):
            Image.fromarray(pixels + np.uint8(add)).save(folder / "parity" / f"{n:02}-{kind}.png")
        rows.append(
            {
                "prompt": prompt,
                "seed": 999 + n,
                "psnr": 51.2,
                "changed": n <= changed,
                "good": True,
                "pytorch": f"parity/{n:02}-pytorch.png",
                "onnx": f"parity/{n:02}-onnx.png",
            }
        )
    data = {
        "version": 1,
        "good": good,
        "dtype": dtype,
        "quantize": quantize,
        "parts": parts,
        "libraries": {"torch": "2.13.0", "onnx": "1.23"},
        "pictures": {
            "bound_psnr": None if quantize == "int8" else 45.0,
            "rows": rows,
            "least_psnr": 51.2,
            "changed_share": changed / 3,
            "good": True,
        },
    }
    (folder / "parity.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return data


class Exporter:
    """The stand-in: ``plan`` what it will do, ``asked`` with what it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "stand_in_export.py").write_text(SCRIPT, encoding="utf-8")
        make_report(folder / "made")
        self.plan()

    def plan(self, **changes: Any) -> None:
        plan = {"steps": 11, "total": 11, "free": 11, "report": str(self.folder / "made")} | changes
        (self.folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")

    def go_on(self) -> None:
        (self.folder / "go").touch()

    def asked(self) -> list[str]:
        words: list[str] = json.loads((self.folder / "asked.json").read_text(encoding="utf-8"))
        return words


@pytest.fixture
def exporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exporter:
    """The exporter's program is the stand-in; all others are real."""
    made = Exporter(tmp_path / "stand_in")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(made.folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))

    def stood_in(module: str, arguments: Sequence[str], **more: Any) -> dict[str, Any]:
        return process.program("stand_in_export" if module == "engine.export" else module, arguments, **more)

    monkeypatch.setattr(job, "program", stood_in)
    return made


@pytest.fixture
def build(qtbot: QtBot, context: Context, exporter: Exporter) -> Callable[[], ExportPage]:
    def built() -> ExportPage:
        page = ExportPage(context)
        qtbot.addWidget(page)
        page.resize(1200, 800)
        page.show()
        qtbot.waitUntil(lambda: not page.busy(), timeout=WAIT)
        return page

    return built


def destroy(page: ExportPage) -> None:
    page.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def over(qtbot: QtBot, page: ExportPage) -> None:
    qtbot.waitUntil(lambda: page.run is None and not page.busy(), timeout=WAIT)


def left_behind(page: ExportPage) -> list[str]:
    folder = page._context.out
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def test_an_export_from_the_button_to_the_proof(
    qtbot: QtBot, build: Callable[[], ExportPage], context: Context, exporter: Exporter, went: list[str]
) -> None:
    exporter.plan(free=4)
    page = build()
    assert (
        page.shown() == "empty" and page.go.isEnabled() and page.form.out.text() == str(context.out / "stub-onnx-fp32")
    )
    page.form.precision.buttons["int8"].click()
    page.form.precision.buttons["fp16"].click()
    qtbot.waitUntil(lambda: page.form.out.text().endswith("stub-onnx-fp16") and not page.busy(), timeout=WAIT)
    qtbot.keyClick(page.form.out, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert page.shown() == "running" and not page.form.isEnabled() and not page.go.isEnabled()
    qtbot.waitUntil(lambda: page.run is not None and page.run.done == 4, timeout=WAIT)
    assert page.running.now.text() == "VAE decoder: writing the graph"
    assert [
        page.running.states[n].text() for n in ("text_encoder", "transformer", "vae_decoder", "vae_encoder", "folder")
    ] == ["done", "done", "writing the graph", "waiting", "waiting"]
    assert (
        page.run is not None
        and page.run.left() is not None
        and " so far" in page.running.time.text()
        and not page.open.isEnabled()
    )
    exporter.go_on()
    over(qtbot, page)
    out = str(context.out / "stub-onnx-fp16")
    assert exporter.asked() == [page.form.model.value(), out, "--dtype", "fp16", "--quantize", "none"]
    assert page.shown() == "report" and page.report.title.text() == "stub: proved" and page.report.make.hasFocus()
    assert (
        page.report.model.rowCount() == 4
        and [p.image.isNull() for row in page.report.pairs.rows for p in row.pictures] == [False] * 9
    )
    assert "51.2 dB" in page.report.summary.text() and "3.0e-07" in page.report.summary.text()
    page.report.copy.click()
    copied = QGuiApplication.clipboard().text()
    assert (
        "Denoiser\t3×4×6×8  3×64×32  3×64  3\t5.0e-07\t3.0e-07\t1e-03 / 1e-04\twithin" in copied
        and "51.2 dB\t1000\tすし" in copied
    )
    page.report.make.click()
    assert went == ["make"] and context.settings.now.model == out


def test_the_make_page_takes_the_folder(
    qtbot: QtBot, build: Callable[[], ExportPage], context: Context, tmp_path: Path
) -> None:
    other = make_stub(tmp_path / "other")
    make = ComposePanel(context)
    qtbot.addWidget(make)
    make.form.model.set_value(str(other))  # not the one of the settings
    make._save_draft()
    page = build()
    page.use_values.connect(make.form.fill)  # as the window does
    page.use(str(tmp_path / "exported"))
    assert make.form.model.value() == str(tmp_path / "exported")
    make.keep()
    later = ComposePanel(context)
    qtbot.addWidget(later)
    assert later.form.model.value() == str(tmp_path / "exported")
    for one in (make, later):
        qtbot.waitUntil(lambda one=one: pending_tasks(one) == 0, timeout=WAIT)


def test_stop_leaves_nothing(
    qtbot: QtBot, build: Callable[[], ExportPage], context: Context, exporter: Exporter
) -> None:
    said: list[str] = []
    context.notices.asked.connect(lambda text, *_: said.append(text))
    page = build()
    for dies in (False, True):  # one cleans up after itself, one is ended hard
        exporter.plan(free=3, dies=dies)
        page.start()
        qtbot.waitUntil(lambda: page.run is not None and page.run.done == 3, timeout=WAIT)
        assert left_behind(page) == ["stub-onnx-fp32.part-0badc0de"] and page.running.stop.hasFocus()
        qtbot.keyClick(page.running.stop, Qt.Key.Key_Space)
        assert page.run is not None and page.run.stopping and "Stopping" in page.running.now.text()
        over(qtbot, page)
        assert (
            left_behind(page) == []
            and page.shown() == "empty"
            and page.message.text().startswith("The export of stub was stopped")
            and page.go.isEnabled()
        )
        assert said.pop() == page.message.text() and not said


@pytest.mark.parametrize("told", [True, False])
def test_a_failed_gate_names_its_part(
    qtbot: QtBot, build: Callable[[], ExportPage], exporter: Exporter, tmp_path: Path, told: bool
) -> None:
    parity = json.dumps(make_report(tmp_path / "bad", good=False))
    error = ParityMissed(
        part="transformer", found="relative RMS error 2.00e-02", bound="1e-04", **({"parity": parity} if told else {})
    )
    exporter.plan(error=error.to_wire(), steps=4)
    page = build()
    page.form.precision.buttons["fp16"].click()
    qtbot.waitUntil(lambda: page.form.ready(), timeout=WAIT)
    page.start()
    over(qtbot, page)
    assert page.shown() == "report" and page.report.title.text() == "stub: not exported"
    assert page.report.summary.text() == (
        "The export was removed: Denoiser does not give what PyTorch gives. Found was a relative RMS error of "
        "2.00e-02, "
        "the bound is 1e-04."
    )
    assert (
        page.report.advice.text().startswith("Choose fp32")
        and not page.report.make.isVisible()
        and not page.report.folder.isVisible()
    )
    model = page.report.model
    assert [model.rows[n][PART].text.split(" fp")[0] for n in range(4)] == [
        "Text encoder",
        "Denoiser",
        "VAE decoder",
        "VAE encoder",
    ]
    assert [model.rows[n][RESULT].text for n in range(4)] == [
        "within",
        "missed",
        *(["within"] * 2 if told else ["not reached"] * 2),
    ]
    assert model.rows[1][RMS].text == ("2.0e-02" if told else "–") and page.report.table.isVisible()
    assert page.go.isEnabled() and left_behind(page) == []
    assert "parity-missed" in page.report.text()


def test_a_real_refusal_of_the_real_exporter(
    qtbot: QtBot, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Graphs take their time; what the exporter says at once does not. The stub's weights are too few to be a model."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    page = ExportPage(context)
    qtbot.addWidget(page)
    page.show()
    qtbot.waitUntil(lambda: not page.busy() and page.form.ready(), timeout=WAIT)
    lora = tmp_path / "none.safetensors"
    lora.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    page.form.loras.add(str(lora), 0.5)
    page.start()
    over(qtbot, page)
    assert page.shown() == "report" and page.report.title.text() == "stub: not exported"
    assert str(lora) in page.report.summary.text() or lora.stem in page.report.summary.text(), (
        page.report.summary.text()
    )
    assert not page.report.table.isVisible() and left_behind(page) == []


def test_the_place_is_judged_at_once(
    qtbot: QtBot, build: Callable[[], ExportPage], context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = context.out / "stub-onnx-fp32"
    full.mkdir(parents=True)
    (full / "x").touch()
    page = build()
    assert page.form.out.text() == f"{full}-2" and "will be written" in page.form.out_hint.text()

    def type_in(place: Path) -> str:
        page.form.out.selectAll()
        page.form.out.setFocus()
        qtbot.keyClicks(page.form.out, str(place))
        qtbot.waitUntil(lambda: not page.busy(), timeout=WAIT)
        return page.form.out_error.text()

    assert "it is not empty" in type_in(full) and not page.go.isEnabled() and page.form.out.text() == str(full)
    page.start()
    assert page.run is None and page.form.out.hasFocus()
    assert "it lies in the model" in type_in(tmp_path / "stub" / "transformer" / "x")
    assert "it is not a folder" in type_in(full / "x")
    assert type_in(tmp_path / "new") == "" and page.go.isEnabled()
    page.form.choose(str(full))
    qtbot.waitUntil(lambda: page.form.out.text() == str(full / "stub-onnx-fp32") and not page.busy(), timeout=WAIT)
    monkeypatch.setattr(job.shutil, "disk_usage", lambda _: type("Use", (), {"free": 1000})())
    assert "too small" in type_in(tmp_path / "other")


def test_models_parts_and_loras(
    qtbot: QtBot, build: Callable[[], ExportPage], context: Context, exporter: Exporter, tmp_path: Path
) -> None:
    models = tmp_path / "home" / "models"
    exported = make_stub(models / "already")
    (exported / "transformer" / "model.onnx").touch()
    whole, bare = make_stub(tmp_path / "whole"), models / "bare"
    make_stub(tmp_path / "x")
    (tmp_path / "x" / "transformer").rename(bare)
    (whole / "tokenizer" / "tokenizer.json").rename(whole / "text_encoder" / "tokenizer.json")
    page = build()
    names = [page.form.model.combo.itemText(n) for n in range(page.form.model.combo.count())]
    assert (
        "bare" in names
        and "already" not in names
        and page.form.model.value() == str(tmp_path / "stub")
        and not page.form.parts.isVisible()
    )
    page.form.model.choose(str(exported))
    qtbot.waitUntil(lambda: "it is an ONNX export already" in page.form.model.error.text(), timeout=WAIT)
    assert not page.go.isEnabled()
    page.form.model.choose("bare")
    assert page.form.parts.isVisible() and "only a denoiser" in page.form.model.error.text()
    page.start()
    assert page.form.parts.encoder.hasFocus()
    for field, part in ((page.form.parts.encoder, "text_encoder"), (page.form.parts.vae, "vae")):
        field.setText(str(whole / part))
        field.editingFinished.emit()
    qtbot.waitUntil(lambda: page.form.ready() and not page.busy(), timeout=WAIT)
    lora = tmp_path / "style.safetensors"
    lora.touch()
    page.form.loras.add(str(lora), 0.75)
    assert not page.form.loras.merged.isVisible()
    page.start()
    over(qtbot, page)
    assert exporter.asked()[2:] == [
        "--dtype",
        "fp32",
        "--quantize",
        "none",
        "--lora",
        f"{lora}:0.75",
        "--text-encoder",
        str(whole / "text_encoder"),
        "--vae",
        str(whole / "vae"),
    ]
    page.keep()
    again = build()
    assert (
        again.form.model.value() == "bare"
        and again.form.loras.value() == [[str(lora), 0.75]]
        and again.shown() == "report"
    )


def test_an_export_outlives_its_page_but_not_the_program(
    qtbot: QtBot, build: Callable[[], ExportPage], context: Context, exporter: Exporter
) -> None:
    exporter.plan(free=2)
    page = build()
    page.start()
    qtbot.waitUntil(lambda: page.run is not None and page.run.done == 2, timeout=WAIT)
    page.keep()
    destroy(page)  # the language changed
    page = ExportPage(context)
    qtbot.addWidget(page)
    assert page.shown() == "running" and page.run is not None and page.running.states["text_encoder"].text() == "done"
    said: list[str] = []
    context.notices.asked.connect(lambda text, *_: said.append(text))
    exporter.go_on()
    over(qtbot, page)  # it is not visible: another page is
    assert said == ["stub is exported and proved."] and page.shown() == "report"
    run = context.notices.findChild(ExportRun)
    run.setParent(None)
    context.state.setValue(INTERRUPTED, "/somewhere")
    page = ExportPage(context)
    qtbot.addWidget(page)
    assert said[1:] == [
        "The export to /somewhere was stopped when the window was closed; nothing of it was kept."
    ] and not context.state.contains(INTERRUPTED)
    qtbot.waitUntil(lambda: not page.busy(), timeout=WAIT)


def test_the_program_ends_with_the_window(
    qtbot: QtBot, build: Callable[[], ExportPage], context: Context, exporter: Exporter
) -> None:
    exporter.plan(free=2)
    page = build()
    page.start()
    run = page.run
    qtbot.waitUntil(lambda: run is not None and run.done == 2, timeout=WAIT)
    assert run is not None
    thread = run._task.thread_
    destroy(page)
    run.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    thread.join(20)
    assert not thread.is_alive() and not list(context.out.iterdir())


def test_reports_from_anywhere(qtbot: QtBot, build: Callable[[], ExportPage], context: Context, tmp_path: Path) -> None:
    said: list[str] = []
    context.notices.asked.connect(lambda text, *_: said.append(text))
    page = build()
    make_report(tmp_path / "eight", quantize="int8", changed=1)
    with qtbot.waitSignal(page.opened, timeout=WAIT):
        page.open_report(str(tmp_path / "eight" / "parity.json"))
    over(qtbot, page)
    assert "1 of 3 images (33 %)" in page.report.changed_share.text() and page.report.title.text() == "eight: proved"
    for n, text in enumerate((b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b" " * (5 << 20))):
        (tmp_path / f"{n}").mkdir()
        (tmp_path / f"{n}" / "parity.json").write_bytes(text)
        said.clear()
        page.open_report(str(tmp_path / f"{n}"))
        qtbot.waitUntil(lambda: bool(said), timeout=WAIT)
        assert str(tmp_path / f"{n}") in said[0], said
    said.clear()
    page.open_report(str(tmp_path / "nowhere"))
    qtbot.waitUntil(lambda: bool(said), timeout=WAIT)
    assert page.report.title.text() == "eight: proved"  # what was shown stays


def test_odd_values_in_a_report(tmp_path: Path) -> None:
    odd = [
        None,
        1,
        "x",
        [],
        {},
        1e999,
        -1,
        True,
        "../../etc/passwd",
        {"rows": [{}]},
        [[]],
        [{"part": 3, "rows": [{"shapes": {"a": ["x", 10**30]}, "rms": "1"}]}],
    ]
    base = make_report(tmp_path / "r")
    for key in ("parts", "pictures", "libraries", "good", "dtype", "quantize"):
        for value in odd:
            (tmp_path / "r" / "parity.json").write_text(json.dumps(base | {key: value}), encoding="utf-8")
            read_report(str(tmp_path / "r"))
    outside = tmp_path / "outside.png"
    outside.write_bytes((tmp_path / "r" / "parity" / "01-onnx.png").read_bytes())
    rows = [
        row | {"onnx": name, "psnr": 10**400}
        for row, name in zip(
            base["pictures"]["rows"], ("../outside.png", str(outside), "parity/../../outside.png"), strict=False
        )
    ]
    (tmp_path / "r" / "parity.json").write_text(json.dumps(base | {"pictures": {"rows": rows}}), encoding="utf-8")
    if sys.platform != "win32":
        (tmp_path / "r" / "parity" / "link.png").symlink_to(outside)
        rows[0]["onnx"] = "parity/link.png"
        (tmp_path / "r" / "parity.json").write_text(json.dumps(base | {"pictures": {"rows": rows}}), encoding="utf-8")
    assert [(p.onnx, p.psnr) for p in read_report(str(tmp_path / "r")).pairs] == [("", None)] * 3
    with pytest.raises(BadFile):
        read_report(str(tmp_path / "none"))
    assert [
        c.good for c in missed(ParityMissed(part="pictures", found="1 dB", bound="45 dB"), "fp32", "none").cases
    ] == [True] * 4


def test_table_model(qtbot: QtBot, tmp_path: Path) -> None:
    model = CellsModel()
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    make_report(tmp_path / "r", good=False)
    model.show_rows(*CaseLabels().table(read_report(str(tmp_path / "r"))), text_columns=TEXT_COLUMNS)
    assert [model.index(1, c).data() for c in (PART, SHAPES, RMS, BOUNDS, RESULT)] == [
        "Denoiser",
        "3×4×6×8  3×64×32  3×64  3",
        "2.0e-02",
        "1e-03 / 1e-04",
        "missed",
    ]
    assert "encoder_hidden_states: 3 × 64 × 32" in model.index(1, SHAPES).data(Qt.ItemDataRole.ToolTipRole)
    model.show_rows((), ())
    assert model.rowCount() == 0


def test_the_difference_is_sixteen_times_as_bright() -> None:
    a, b = (QImage(4, 4, QImage.Format.Format_RGB32) for _ in range(2))
    a.fill(0xFF102030)
    b.fill(0xFF112030)
    assert (
        difference(a, b).pixelColor(1, 1).getRgb()[:3] == (16, 0, 0)
        and difference(a, QImage(2, 2, QImage.Format.Format_RGB32)).isNull()
    )


def test_every_control_has_a_name_and_a_way_by_keyboard(build: Callable[[], ExportPage]) -> None:
    page = build()
    for button in [*page.findChildren(QPushButton), *page.findChildren(QToolButton)]:
        if button.objectName().startswith("qt_"):
            continue
        assert button.text() or button.accessibleName(), button
        assert button.focusPolicy() & Qt.FocusPolicy.TabFocus, button.text()
    assert (
        "Ctrl+Return" in page.go.toolTip()
        and "Ctrl+O" in page.open.toolTip()
        and "Ctrl+." in page.running.stop.toolTip()
    )


def test_a_narrow_window_cuts_nothing(qtbot: QtBot, build: Callable[[], ExportPage], tmp_path: Path) -> None:
    page = build()
    make_report(tmp_path / "r")
    page.resize(932, 600)
    with qtbot.waitSignal(page.opened, timeout=WAIT):
        page.open_report(str(tmp_path / "r"))
    over(qtbot, page)
    bar = page.report.table.horizontalScrollBar()
    assert bar.maximum() == 0 and page.width() == 932, "the table fits"
    assert page.report.table.horizontalHeader().length() == page.report.table.viewport().width()
    assert page.report.width() <= page.stack.width()


def test_what_is_wrong_is_told_in_japanese(
    qtbot: QtBot, build: Callable[[], ExportPage], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMMONART_LANG", "ja")
    i18n.language.cache_clear()
    context.out.mkdir()
    (context.out / "x").touch()
    context.state.setValue("export/draft", json.dumps({"out": str(context.out), "precision": "int8"}))
    page = build()
    assert (
        "空ではありません" in page.form.out_error.text()
        and page.form.precision.value() == "int8"
        and not page.go.isEnabled()
    )


@pytest.mark.slow
def test_the_real_export_of_a_tiny_model(
    qtbot: QtBot, context: Context, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    context.settings.put(model=str(tiny_model))
    page = ExportPage(context)
    qtbot.addWidget(page)
    page.show()
    qtbot.waitUntil(lambda: not page.busy() and page.form.ready(), timeout=WAIT)
    page.start()
    assert page.run is not None
    total, steps = page.run.total, len(page.run.steps)
    qtbot.waitUntil(lambda: page.run is None and not page.busy(), timeout=280_000)
    assert total == steps == 11
    assert page.shown() == "report" and page.report.title.text() == f"{tiny_model.name}: proved", (
        page.report.summary.text()
    )
    assert {c.part for c in page.report.report.cases} == set(PARTS) and len(page.report.pairs.rows) == 4
    assert (context.out / f"{tiny_model.name}-onnx-fp32" / "transformer" / "model.onnx").is_file()


if (
    sys.platform == "win32"
):  # there a process cannot be asked to end: what it leaves is swept, as the test of stopping has it
    SCRIPT = SCRIPT.replace("signal.signal(signal.SIGTERM, signal.default_int_handler)", "")
