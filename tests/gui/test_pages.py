"""The Models and the Settings page over real programs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QLabel, QMessageBox, QWidget
from pytestqt.qtbot import QtBot

from commonart_desktop.core.process import program
from commonart_desktop.core.settings import load_settings
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.models import detail
from commonart_desktop.gui.pages.models.model import STATE, ModelsModel
from commonart_desktop.gui.pages.models.page import ModelsPage
from commonart_desktop.gui.pages.settings.page import SettingsPage
from engine.contract.errors import BadFile, CommonArtError
from tests.support.stub_model import make_stub
from tests.unit.engine.checkpoint.test_get import Handler, Hub, serving

WAIT = 30_000


def destroy(widget: QWidget) -> None:
    from PySide6.QtCore import QCoreApplication

    widget.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No models of the machine that runs the test."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def models(qtbot: QtBot, context: Context, own_cache: Path, tmp_path: Path) -> ModelsPage:
    make_stub(tmp_path / "home" / "models" / "stub-one")
    page = ModelsPage(context)
    qtbot.addWidget(page)
    page.resize(1000, 600)
    page.show()
    qtbot.waitUntil(lambda: page.model.row_of(str(tmp_path / "home" / "models" / "stub-one")) >= 0, timeout=WAIT)
    return page


def select(page: ModelsPage, path: Path) -> None:
    page.table.setCurrentIndex(page.model.index(page.model.row_of(str(path)), 0))


def quiet(page: ModelsPage) -> bool:
    return page.detail._task is None and page._task is None


def test_a_task_tells_its_outcome_in_this_thread(qtbot: QtBot) -> None:
    page = QWidget()
    qtbot.addWidget(page)
    told: list[object] = []

    def fails(task: Task) -> None:
        raise BadFile(path="x", why="y")

    def works(task: Task) -> int:
        task.progress(1, 2)
        return threading.get_ident()

    here = threading.get_ident()
    Task(
        page,
        works,
        done=lambda x: told.append((x != here, threading.get_ident() == here)),
        progress=lambda a, b: told.append((a, b)),
    )
    qtbot.waitUntil(lambda: told == [(1, 2), (True, True)])
    Task(page, fails, failed=told.append)
    qtbot.waitUntil(lambda: isinstance(told[-1], CommonArtError))


def test_a_task_ends_with_its_page(qtbot: QtBot) -> None:
    page = QWidget()
    told: list[object] = []
    go = threading.Event()

    def work(task: Task) -> None:
        go.wait(10)
        task.progress(1, 2)

    task = Task(page, work, done=told.append, progress=lambda a, b: told.append(a))
    thread = task.thread_
    destroy(page)
    go.set()
    thread.join(10)
    qtbot.wait(10)
    assert not thread.is_alive() and told == []


def test_a_program_ends_with_its_page(qtbot: QtBot, context: Context) -> None:
    page = QWidget()
    task = Task(page, lambda task: task.program("engine.doctor", []))
    stopper = task.stopper
    qtbot.waitUntil(lambda: stopper.child is not None)
    destroy(page)
    assert task.join(10) and stopper.child is not None and stopper.child.poll() is not None


def test_list_model(qtbot: QtBot) -> None:
    model = ModelsModel()
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    row = {"name": "a/b", "path": "/a", "source": "home", "ok": True, "own_side": 32, "problem": None}
    model.set_rows(
        [row, row | {"path": "/c", "name": "c", "ok": False, "own_side": None, "problem": {"kind": "missing-part"}}],
        "b",
    )
    assert [model.index(0, c).data() for c in range(4)] == [
        "a/b",
        "your folder",
        "32 px",
        "ready, used for new pictures",
    ]
    assert model.index(1, STATE).data() == "a part is missing"
    model.set_default("c")
    assert model.index(0, STATE).data() == "ready"


def test_models_are_listed_and_told(qtbot: QtBot, models: ModelsPage, tmp_path: Path) -> None:
    select(models, tmp_path / "home" / "models" / "stub-one")
    qtbot.waitUntil(lambda: models.detail.facts.count() > 6, timeout=WAIT)
    texts = [models.detail.facts.itemAt(n).widget().text() for n in range(models.detail.facts.count())]
    assert (
        any("32 px" in t for t in texts)
        and any(t.startswith("SHA-256 ") for t in texts)
        and any("memory: fits" in t for t in texts)
    )


def test_a_model_becomes_the_default(qtbot: QtBot, models: ModelsPage, tmp_path: Path) -> None:
    select(models, tmp_path / "home" / "models" / "stub-one")
    qtbot.mouseClick(models.detail.default, Qt.MouseButton.LeftButton)
    assert load_settings().model == "stub-one"
    assert models.model.index(models.table.currentIndex().row(), STATE).data() == "ready, used for new pictures"


def test_verify_says_what_is_broken(qtbot: QtBot, models: ModelsPage, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "models" / "stub-one"
    select(models, folder)
    qtbot.waitUntil(lambda: quiet(models), timeout=WAIT)
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    qtbot.mouseClick(models.detail.verify, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "damaged" in models.detail.problem.text(), timeout=WAIT)
    assert quiet(models) and not models.detail.bar.isVisible()


def test_missing_parts_are_given_and_remembered(qtbot: QtBot, models: ModelsPage, tmp_path: Path) -> None:
    whole = tmp_path / "stub"
    models.add_folder(str(whole / "transformer"))
    qtbot.waitUntil(lambda: models.model.row_of(str(whole / "transformer")) >= 0, timeout=WAIT)
    assert models.model.rows[models.table.currentIndex().row()]["source"] == "added"
    assert models.detail.encoder.isVisible() and "text encoder" in models.detail.problem.text()
    models.detail.give("text_encoder", str(whole))
    qtbot.waitUntil(lambda: "VAE" in models.detail.problem.text(), timeout=WAIT)
    models.detail.give("vae", str(whole))
    qtbot.waitUntil(lambda: models.model.rows[models.table.currentIndex().row()]["ok"], timeout=WAIT)
    assert program("engine.checkpoint", ["resolve", str(whole / "transformer")])["parts"]["vae"].endswith("vae")
    qtbot.waitUntil(lambda: quiet(models), timeout=WAIT)
    qtbot.mouseClick(models.remove, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: models.model.row_of(str(whole / "transformer")) < 0, timeout=WAIT)
    assert models.folders() == []


def test_pickles_are_converted_only_with_consent(
    qtbot: QtBot, models: ModelsPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    folder = make_stub(tmp_path / "home" / "models" / "pickled")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({"w": torch.zeros(2, 2)}, folder / "vae" / "diffusion_pytorch_model.bin")
    models.refresh()
    qtbot.waitUntil(lambda: models.model.row_of(str(folder)) >= 0, timeout=WAIT)
    select(models, folder)
    assert models.detail.convert.isVisible() and not models.detail.verify.isVisible()
    asked: list[str] = []
    answer = [False]

    def ask(box: QMessageBox) -> int:
        asked.append(box.text())
        button = next(b for b in box.buttons() if (box.buttonRole(b) == QMessageBox.ButtonRole.AcceptRole) == answer[0])
        monkeypatch.setattr(QMessageBox, "clickedButton", lambda _: button)
        return 0

    monkeypatch.setattr(detail.QMessageBox, "exec", ask)
    qtbot.mouseClick(models.detail.convert, Qt.MouseButton.LeftButton)
    assert len(asked) == 1 and str(folder / "vae") in asked[0] and quiet(models)
    answer[0] = True
    qtbot.mouseClick(models.detail.convert, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: models.model.rows[models.model.row_of(str(folder))]["ok"], timeout=WAIT)
    assert (folder / "vae" / "diffusion_pytorch_model.safetensors").is_file()


def test_a_model_is_fetched_only_when_the_button_is_pressed(
    qtbot: QtBot, models: ModelsPage, own_cache: Path, tmp_path: Path
) -> None:
    panel = models.panel
    assert panel.model.text() == "aipicasso/commonart-beta" and not panel.get.isEnabled()
    qtbot.mouseClick(models.get, Qt.MouseButton.LeftButton)
    assert panel.isVisible()
    with serving(make_stub(tmp_path / "served")) as hub:
        panel.model.setText("someone/tiny")
        panel.encoder.setText("")
        panel.vae.setText("")
        panel.endpoint.setText(hub.url)
        qtbot.mouseClick(panel.look, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(panel.get.isEnabled, timeout=WAIT)
        assert "apache-2.0" in panel.told.text() and hub.ranges == [] and not own_cache.exists()
        qtbot.mouseClick(panel.get, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: any(r["name"] == "someone/tiny" for r in models.model.rows), timeout=WAIT)
        current = models.model.rows[models.table.currentIndex().row()]
        assert current["name"] == "someone/tiny" and current["ok"] and models.detail.isVisible()
    models.show_get()
    qtbot.mouseClick(panel.look, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(panel.problem.isVisible, timeout=WAIT)
    assert "cannot be reached" in panel.problem.text() and panel.look.isEnabled()


def read_folder(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class SeveralRepositories(Handler):
    """Each folder under a repository's name of its own."""

    def do_GET(self) -> None:
        repo = next((r for r in self.server.folders if r in self.path), None)  # type: ignore[attr-defined]
        if repo is None:
            return self._json(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        self.server.here.files = read_folder(self.server.folders[repo])  # type: ignore[attr-defined]
        self.path = self.path.replace(repo, "someone/tiny")
        return super().do_GET()


class SeveralHub(Hub):
    """``folders``: repository -> folder."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders, self.here = folders, threading.local()
        super().__init__(next(iter(folders.values())))
        self.RequestHandlerClass = SeveralRepositories

    @property
    def files(self) -> dict[str, bytes]:
        return dict(self.here.files)

    @files.setter
    def files(self, _: dict[str, bytes]) -> None:
        pass  # told by the request's repository


def test_parts_are_fetched_converted_and_joined(
    qtbot: QtBot, models: ModelsPage, own_cache: Path, tmp_path: Path
) -> None:
    """A denoiser, a text encoder whose weights are there only pickled, and a VAE: from three repositories to one model."""
    torch = pytest.importorskip("torch")
    whole = make_stub(tmp_path / "whole")
    parts = {
        "someone/denoiser": whole / "transformer",
        "someone/reader": tmp_path / "reader",
        "someone/painter": whole / "vae",
    }
    (whole / "text_encoder").rename(parts["someone/reader"])
    (whole / "tokenizer" / "tokenizer.json").rename(parts["someone/reader"] / "tokenizer.json")
    (parts["someone/reader"] / "model.safetensors").unlink()
    torch.save({"w": torch.zeros(2, 2)}, parts["someone/reader"] / "pytorch_model.bin")
    panel = models.panel
    models.show_get()
    hub = SeveralHub(parts)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        panel.model.setText("someone/denoiser")
        panel.encoder.setText("someone/reader")
        panel.vae.setText("someone/painter")
        panel.endpoint.setText(hub.url)
        panel.pickles.setChecked(True)
        qtbot.mouseClick(panel.look, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: panel.get.isEnabled() or panel.problem.isVisible(), timeout=WAIT)
        assert not panel.problem.isVisible(), panel.problem.text()
        qtbot.mouseClick(panel.get, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(
            lambda: (
                panel.problem.isVisible() or any(r["name"] == "someone/denoiser" and r["ok"] for r in models.model.rows)
            ),
            timeout=WAIT,
        )
        assert not panel.problem.isVisible(), panel.problem.text() + panel.hint.text()
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
    (row,) = [r for r in models.model.rows if r["name"] == "someone/denoiser"]
    resolved = program("engine.checkpoint", ["resolve", row["path"]])["parts"]
    assert "someone--reader" in resolved["text_encoder"] and "someone--painter" in resolved["vae"]
    assert list(Path(resolved["text_encoder"]).glob("*.safetensors"))
    qtbot.waitUntil(lambda: quiet(models), timeout=WAIT)


@pytest.fixture
def page(qtbot: QtBot, context: Context) -> SettingsPage:
    made = SettingsPage(context)
    qtbot.addWidget(made)
    return made


def test_settings_apply_at_once(page: SettingsPage, context: Context) -> None:
    page.theme.setCurrentIndex(page.theme.findData("dark"))
    page.dtype.setCurrentIndex(page.dtype.findData("bf16"))
    page.leave.setChecked(True)
    assert (
        load_settings().theme == "dark"
        and load_settings().dtype == "bf16"
        and context.state.value("engine/leave_working") == "true"
    )


def test_a_bad_value_stays_with_its_reason(qtbot: QtBot, page: SettingsPage, tmp_path: Path) -> None:
    page.show()
    page.name.setFocus()
    good = load_settings().name
    page.name.clear()
    qtbot.keyClicks(page.name, "{promt}")
    assert (
        page.name.text() == "{promt}"
        and "{promt}" in page.name.problem.text()
        and page.name.problem.isVisible()
        and not page.example.isVisible()
    )
    assert "{promt}" not in load_settings().name and good == ""
    page.name.clear()
    qtbot.keyClicks(page.name, "{seed}-{prompt:5}")
    assert (
        load_settings().name == "{seed}-{prompt:5}"
        and page.example.text() == "For example: 7-sushi.png"
        and not page.name.problem.isVisible()
    )
    (tmp_path / "file").write_text("")
    before = load_settings().out
    page.out.clear()
    qtbot.keyClicks(page.out, str(tmp_path / "file"))
    assert page.out.problem.isVisible() and load_settings().out != str(tmp_path / "file") != before
    page.device.setEditText("toaster")
    assert page.device.problem.isVisible() and load_settings().device == "auto"
    page.device.setEditText("cuda:3")
    assert not page.device.problem.isVisible() and load_settings().device == "cuda:3"
    page.device.setCurrentIndex(0)
    assert load_settings().device == "auto"


def test_a_cluster_s_address_is_checked_by_its_form(qtbot: QtBot, page: SettingsPage, context: Context) -> None:
    page.show()
    for text, good in (
        ("auto", True),
        ("10.0.0.5:6379", True),
        ("ray://studio-1:10001", True),
        ("[fe80::1]:6379", True),
        ("10.0.0.5", False),
        ("http://a:80", False),
        ("a:0", False),
        ("a:70000", False),
        ("a b:1", False),
        ("", True),
    ):
        before = load_settings().cluster
        page.cluster.setText(text)
        page.cluster.textEdited.emit(text)
        assert page.cluster.problem.isVisible() is not good and load_settings().cluster == (text if good else before), (
            text
        )
    context.settings.put(cluster="auto")
    assert page.cluster.text() == "auto"


def test_caches_are_measured_and_cleared(qtbot: QtBot, page: SettingsPage, tmp_path: Path) -> None:
    kept = tmp_path / "home" / "models" / "kept.bin"
    for file in (tmp_path / "home" / "cache" / "text" / "a" / "b", kept):
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(5000))
    page.caches.measure()
    qtbot.waitUntil(lambda: page.caches.sizes["text"].text() == "5.0 kB")
    assert not page.caches.buttons["thumbnails"].isEnabled()
    qtbot.mouseClick(page.caches.buttons["text"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.caches.sizes["text"].text().startswith("0"))
    assert kept.exists()


def test_the_machine_is_told(qtbot: QtBot, page: SettingsPage) -> None:
    page.doctor.check()
    qtbot.waitUntil(page.doctor.again.isEnabled, timeout=120_000)
    shown = [page.doctor.grid.itemAt(n).widget() for n in range(page.doctor.grid.count())]
    texts = {w.text() for w in shown if isinstance(w, QLabel)}
    assert {"Python", "Library PyTorch", "Data folder"} <= texts
