"""The Verify page, the gallery's section and the settings of provenance, over pictures that a real worker signed."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image, PngImagePlugin
from PySide6.QtCore import QCoreApplication, QEvent, QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot
from safetensors.numpy import save_file

from commonart_desktop.core.settings import load_settings, provenance_options
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.gallery.page import GalleryPage
from commonart_desktop.gui.pages.settings import provenance_section
from commonart_desktop.gui.pages.settings.page import SettingsPage
from commonart_desktop.gui.pages.verify.gallery_section import ProvenancePanel
from commonart_desktop.gui.pages.verify.job import WANTED, File, gather, missing_report
from commonart_desktop.gui.pages.verify.model import KIND, VerifyModel
from commonart_desktop.gui.pages.verify.page import VerifyPage
from commonart_desktop.gui.shell.pages import PAGES
from engine.contract.ledger.ledger import Ledger
from tests.support.gallery import ready, select
from tests.support.stub_model import make_stub, requests, worker

WAIT = 30_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with keys, and in ``out`` two pictures that a worker signed there."""
    folder = tmp_path_factory.mktemp("signed")
    ledger = Ledger(folder / "home" / "queue.db")
    ledger.add_job("job", requests(make_stub(folder / "stub"), folder / "out", 2))
    ledger.close()
    with worker(
        folder / "home" / "queue.db",
        "--until-empty",
        COMMONART_HOME=str(folder / "home"),
        PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring",
    ) as w:
        assert w.end() == 0, w.stderr
    return folder


@pytest.fixture
def pictures(made: Path, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of them, in a home that has their keys, and beside them what else people drop."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    shutil.copytree(made / "home" / "keys", tmp_path / "home" / "keys")
    out = tmp_path / "out"
    out.mkdir()
    one, two = sorted(p for p in (made / "out").rglob("*.png"))
    shutil.copy(one, out / "good.png")
    data = bytearray(two.read_bytes())
    data[data.index(b"IDAT") + 24] ^= 1
    (out / "changed.png").write_bytes(data)
    Image.new("RGB", (8, 8)).save(out / "plain.png")
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", "a <b>cat</b>\u202e\nSteps: 20, Sampler: Euler, Seed: 1, Model: ../../etc/passwd")
    Image.new("RGB", (8, 8)).save(out / "a1111.png", pnginfo=info)
    (out / "broken.png").write_bytes(one.read_bytes()[:200])
    return out


@pytest.fixture
def page(qtbot: QtBot, context: Context, pictures: Path) -> VerifyPage:
    one = VerifyPage(context)
    qtbot.addWidget(one)
    QAbstractItemModelTester(one.model, QAbstractItemModelTester.FailureReportingMode.Fatal, one)
    QAbstractItemModelTester(one.list.shown, QAbstractItemModelTester.FailureReportingMode.Fatal, one)
    one.resize(1000, 620)
    one.show()
    return one


@pytest.fixture
def told(context: Context) -> list[str]:
    """What the quiet bar was given."""
    found: list[str] = []
    context.notices.asked.connect(lambda text, *_: found.append(text))
    return found


def drop(page: VerifyPage, *paths: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(p)) for p in paths])
    page.dropEvent(
        QDropEvent(
            QPointF(5, 5), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        )
    )


def settled(qtbot: QtBot, page: VerifyPage) -> None:
    qtbot.waitUntil(lambda: not page.busy(), timeout=WAIT)


def kinds(page: VerifyPage) -> dict[str, str]:
    shown = page.list.shown
    return {str(shown.index(n, 0).data()): shown.index(n, 0).data(KIND) for n in range(shown.rowCount())}


def show(page: VerifyPage, path: Path) -> None:
    page.list.go_to_row(page.model.row_of(str(path)))
    assert page.detail.place.text() == str(path)


def test_a_folder_is_dropped_and_told_of(page: VerifyPage, pictures: Path, qtbot: QtBot, told: list[str]) -> None:
    assert (
        "verify" in [p.name for p in PAGES]
        and page.stack.currentWidget() is page.empty
        and page.empty.choose.isVisible()
    )
    drop(page, pictures)
    settled(qtbot, page)
    assert kinds(page) == {
        "good.png": "valid",
        "changed.png": "changed",
        "plain.png": "unsigned",
        "a1111.png": "unsigned",
        "broken.png": "unreadable",
    }
    assert (
        page.stack.currentWidget() is page.splitter
        and page.summary.text() == "1 of 5 image(s) are intact."
        and not page.at_work.isVisible()
    )
    detail = page.detail
    show(page, pictures / "good.png")
    assert (
        "Signed by this studio (CommonArt Desktop user), unknown to others" in detail.findings.text()
        and detail.state.text() == "Signed and unchanged"
    )
    assert detail.tree.texts()[0] == "good.png" and any(
        t.startswith("SHA-256 ") and len(t) == 72 for t in detail.tree.texts()
    )
    detail.copy_recipe.click()
    assert json.loads(QGuiApplication.clipboard().text())["request"]["prompt"].startswith("りんご")
    show(page, pictures / "changed.png")
    assert "The pixels were changed." in detail.findings.text() and detail.state.text().startswith("CHANGED")
    show(page, pictures / "broken.png")
    assert "cut off" in detail.state.text() and not detail.copy_recipe.isVisible() and not detail.tree.isVisible()
    show(page, pictures / "a1111.png")
    shown = detail.texts.toPlainText()
    assert (
        detail.texts.isVisible()
        and "a <b>cat</b>\ufffd" in shown
        and "../../etc/passwd" in shown
        and "A1111" in detail.texts_note.text()
    )
    qtbot.waitUntil(lambda: page.thumbnails.waiting == 0 and page.thumbnails.memory > 0, timeout=WAIT)
    page.only.setChecked(True)
    assert set(kinds(page)) == {"changed.png", "plain.png", "a1111.png", "broken.png"}


def test_reports_leave_the_window(
    page: VerifyPage, pictures: Path, qtbot: QtBot, tmp_path: Path, told: list[str]
) -> None:
    page.add([str(pictures / "good.png"), str(pictures / "changed.png"), str(pictures / "gone.png")])
    settled(qtbot, page)
    assert kinds(page)["gone.png"] == "unreadable" and "no such file" in page.model.reports()[2]["why"]["template"]
    show(page, pictures / "changed.png")
    page.list.setFocus()
    qtbot.keyClick(page.list, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    text = QGuiApplication.clipboard().text()
    assert "CHANGED" in text and "good.png" not in text and "1 image(s)" in told[-1]
    page.out.save(str(tmp_path / "report.json"), page.model.reports())
    settled(qtbot, page)
    saved = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [(Path(r["path"]).name, r["intact"]) for r in saved] == [
        ("good.png", True),
        ("changed.png", False),
        ("gone.png", False),
    ]
    page.out.save(str(tmp_path / "none" / "report.json"), page.model.reports())
    settled(qtbot, page)
    assert str(tmp_path / "none") in told[-1] and not (tmp_path / "none").exists()


def test_the_keyboard_does_it_all(
    page: VerifyPage, pictures: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    from PySide6.QtWidgets import QFileDialog

    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(pictures / "plain.png")], ""))
    qtbot.keyClick(page, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier)
    settled(qtbot, page)
    QGuiApplication.clipboard().setText(f'"{pictures / "good.png"}"\nrelative.png\n')
    qtbot.keyClick(page, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    settled(qtbot, page)
    assert kinds(page) == {"plain.png": "unsigned", "good.png": "valid"}
    page.list.setFocus()
    qtbot.keyClick(page.list, Qt.Key.Key_Down)
    assert page.detail.title.text() == "good.png"
    Image.new("RGB", (9, 9)).save(pictures / "good.png")
    qtbot.keyClick(page, Qt.Key.Key_F5)
    settled(qtbot, page)
    assert kinds(page)["good.png"] == "unsigned" and page.detail.state.text() == "Not signed"
    qtbot.keyClick(page.list, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(page.list, Qt.Key.Key_Delete)
    assert page.stack.currentWidget() is page.empty and (pictures / "good.png").exists()
    QGuiApplication.clipboard().setText("hello")
    qtbot.keyClick(page, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    assert "no files" in told[-1]


def test_a_thousand_pictures_can_be_stopped(page: VerifyPage, pictures: Path, qtbot: QtBot) -> None:
    many = pictures / "many"
    many.mkdir()
    for n in range(1000):
        (many / f"{n:04}.png").write_bytes((pictures / "plain.png").read_bytes())
    seen: list[tuple[int, int]] = []
    page.checker.progress.connect(lambda done, count: seen.append((done, count)))
    page.add([str(many)])
    qtbot.waitUntil(lambda: len(page.model.reports()) >= 8, timeout=WAIT)
    assert page.at_work.isVisible() and seen[0] == (0, 1000) and page.bar.maximum() == 1000
    child = page.checker._task
    assert child is not None
    page.stop.click()
    left = len(page.model.reports())
    assert (
        not page.busy()
        and left < 1000
        and f"{1000 - left:,} are not checked." in page.summary.text()
        and not page.at_work.isVisible()
    )
    child.thread_.join(20)
    assert not child.thread_.is_alive() and len(page.model.reports()) == left
    assert "waiting" in kinds(page).values()


def lora_picture(folder: Path, out: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A signed picture of a LoRA that lies with the report of its licence check."""
    from engine.contract.provenance_policy import ProvenancePolicy
    from engine.provenance import keystore
    from engine.provenance.finalize import ImageFinalizer
    from tests.unit.engine.provenance.test_sign import PIXELS, loud, recipe_of

    monkeypatch.setattr(keystore, "keyring_backend", lambda: None)
    folder.mkdir()
    report = json.dumps({"passed": True, "licences": {"CC0-1.0": 30, "CC-BY-4.0": 12}}).encode()
    (folder / "gate-report.json").write_bytes(report)
    save_file({"x.lora_down.weight": np.zeros((2, 2), np.float32)}, folder / "ink.safetensors")
    lora = {
        "name": "ink",
        "sha256": hashlib.sha256((folder / "ink.safetensors").read_bytes()).hexdigest(),
        "scale": 0.8,
        "gate_report_sha256": hashlib.sha256(report).hexdigest(),
    }
    out.write_bytes(ImageFinalizer(ProvenancePolicy(), loud).pack(PIXELS, "png", recipe_of() | {"loras": [lora]}).data)
    return lora


def test_the_chain(
    page: VerifyPage, pictures: Path, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    path = pictures / "lora.png"
    lora_picture(tmp_path / "loras", path, tmp_path / "home", monkeypatch)
    page.add([str(path)])
    settled(qtbot, page)
    assert (
        kinds(page) == {"lora.png": "valid"}
        and "not at hand" in page.detail.tree.texts()
        and page.detail.loras.isVisible()
    )
    drop(page, tmp_path / "loras")  # no picture in it: a folder of LoRAs
    settled(qtbot, page)
    assert page.loras.folders() == [str(tmp_path / "loras")] and "LoRAs are looked for" in told[-1]
    texts = page.detail.tree.texts()
    assert (
        texts[0] == "lora.png" and "LoRA ink at scale 0.8" in texts and {"CC0-1.0 × 30", "CC-BY-4.0 × 12"} <= set(texts)
    )
    assert (
        "The report of its licence check is at hand and is the one it was taught with." in texts
        and not page.detail.loras.isVisible()
    )
    (tmp_path / "loras" / "gate-report.json").write_text("{}", encoding="utf-8")
    page.check_again()
    settled(qtbot, page)
    assert kinds(page) == {"lora.png": "doubtful"} and "does not fit" in page.detail.findings.text()
    page.loras.put([])
    settled(qtbot, page)
    assert kinds(page) == {"lora.png": "valid"}


def test_the_model(qtbot: QtBot) -> None:
    model = VerifyModel()
    QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal, model)
    assert model.add([File("/a"), File("/b"), File("/a")]) == [0, 1, 0]
    assert model.add([File("/c"), File("/b", 2)]) == [2, 1] and model.rows[1].file.mtime == 2
    model.tell([missing_report("/b"), missing_report("/nowhere")])
    assert [r.report is not None for r in model.rows] == [False, True, False] and len(model.reports()) == 1
    assert model.forget([0, 1]) == {"/a", "/b"} and model.row_of("/c") == 0 and model.row_of("/a") == -1
    model.tell([missing_report("/a")])
    assert model.reports() == [] and model.add([File("/a")]) == [1] and len({r.number for r in model.rows}) == 2


def test_gathering(pictures: Path, tmp_path: Path) -> None:
    (pictures / "sub").mkdir()
    for name in ("x.JPG", ".hidden.png", "note.txt"):
        (pictures / "sub" / name).write_bytes(b"")
    found = gather(
        [str(pictures), str(pictures / "good.png"), str(pictures / "sub" / "note.txt"), "a\0b"], lambda: False
    )
    names = [Path(f.path).name for f in found.files]
    assert (
        names.count("good.png") == 1
        and {"x.JPG", "note.txt"} < set(names)
        and ".hidden.png" not in names
        and found.loras == []
    )
    assert gather([str(pictures)], lambda: True).files == []


def test_nothing_outlives_the_page(qtbot: QtBot, context: Context, pictures: Path) -> None:
    page = VerifyPage(context)
    page.add([str(pictures)])
    qtbot.waitUntil(lambda: page.checker._task is not None, timeout=WAIT)
    assert page.checker._task is not None
    task, thumbnails = page.checker._task.thread_, page.thumbnails
    page.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    task.join(20)
    assert not task.is_alive() and thumbnails._stopped and not [t for t in threading.enumerate() if t.name == "task"]


def test_the_section_of_the_gallery(
    qtbot: QtBot, context: Context, pictures: Path, went: list[str], page: VerifyPage
) -> None:
    page.hide()
    gallery = GalleryPage(context, ProvenancePanel)
    qtbot.addWidget(gallery)
    gallery.resize(1100, 700)
    gallery.show()
    qtbot.waitUntil(lambda: gallery.model.rowCount() == 5 and ready(gallery), timeout=WAIT)
    panel = gallery.findChild(ProvenancePanel)
    assert panel is not None
    gallery.model.fetch(0, 5)
    rows = {str(gallery.model.index(n).data()): n for n in range(5)}

    def look(name: str) -> None:
        select(gallery, next(n for told, n in rows.items() if name in told))
        qtbot.waitUntil(lambda: panel._path == pictures / name and not panel.busy(), timeout=WAIT)

    look("changed.png")
    assert "CHANGED" in panel.state.text() and "The pixels were changed." in panel.lines.text()
    look("good.png")
    assert panel.state.text() == "Signed and unchanged" and "this studio" in panel.lines.text()
    panel.show_image(pictures / "changed.png")  # the process is not started: a newer choice comes
    assert panel.state.text() == "Checking…"
    panel.show_image(pictures / "good.png")
    qtbot.waitUntil(lambda: not panel.busy(), timeout=WAIT)
    assert panel.state.text() == "Signed and unchanged" and len(panel._reports) == 2
    panel.verify.click()
    assert went == ["verify"] and context.state.value(WANTED) == str(pictures / "good.png")
    page.show()
    assert not context.state.value(WANTED)
    qtbot.waitUntil(lambda: page.detail.place.text() == str(pictures / "good.png"), timeout=WAIT)
    panel.show_image(None)
    assert not panel.busy()
    gallery.library.stop()
    gallery.thumbnails.stop()


def test_settings_are_written(qtbot: QtBot, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = SettingsPage(context)
    qtbot.addWidget(page)
    mine = page.provenance
    mine.sign.click()
    assert not mine.certificate.isEnabled()
    mine.sign.click()
    mine.prompt.setCurrentIndex(mine.prompt.findData("hash"))
    mine.training.setCurrentIndex(mine.training.findData("notAllowed"))
    for field, text in ((mine.studio, "絵の アトリエ"), (mine.creator, "花子"), (mine.rights, "CC BY 4.0")):
        field.setText(text)
        field.textEdited.emit(text)  # an input method commits it so
    now = load_settings().provenance
    assert (now.sign, now.prompt, now.training_mining, now.studio, now.creator, now.rights) == (
        True,
        "hash",
        "notAllowed",
        "絵の アトリエ",
        "花子",
        "CC BY 4.0",
    )
    assert (
        '[provenance]\nprompt = "hash"' in (tmp_path / "home" / "settings.toml").read_text(encoding="utf-8")
        and "again" in mine.prompt_note.text()
    )
    monkeypatch.setattr(context.engine, "_others", list)
    started: list[Any] = []

    class Started:
        def __init__(self, path: Path, options: list[str]) -> None:
            started.append(options)
            raise OSError

    monkeypatch.setattr("commonart_desktop.gui.background.worker_process.Worker", Started)
    with pytest.raises(OSError):
        context.engine.start()
    assert {
        "--sign",
        "--tell-prompt=hash",
        "--training-mining=notAllowed",
        "--studio=絵の アトリエ",
        "--creator=花子",
    } <= set(started[0])


def test_the_safety_score_is_turned_on_and_off(
    qtbot: QtBot, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[object] = []
    monkeypatch.setattr(
        provenance_section,
        "find_spec",
        lambda name: there[0] if there and name == provenance_section.SAFETY else None,
    )
    page = SettingsPage(context)
    qtbot.addWidget(page)
    mine = page.provenance
    assert (
        not mine.safety.isEnabled() and not mine.safety.isChecked() and "pip install" in mine.safety_note.text()
    )  # its model is not here
    there.append(object())
    context.settings.changed.emit()
    assert mine.safety.isEnabled() and "0 to 1" in mine.safety_note.text()
    mine.safety.click()
    assert load_settings().provenance.safety_score == "opennsfw" and "--safety-score=opennsfw" in provenance_options()
    there.clear()  # taken away again: what is on can still be turned off
    context.settings.put(provenance=load_settings().provenance)
    context.settings.changed.emit()
    assert mine.safety.isEnabled() and mine.safety.isChecked() and "pip install" in mine.safety_note.text()
    mine.safety.click()
    assert (
        load_settings().provenance.safety_score == ""
        and not any("safety" in option for option in provenance_options())
        and not mine.safety.isEnabled()
    )


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A chain of two and its key, as a studio would buy them."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    day = dt.datetime.now(dt.UTC)

    def issue(subject: str, public: Any, ca: bool) -> x509.Certificate:
        def called(text: str) -> x509.Name:
            return x509.Name(
                [x509.NameAttribute(NameOID.ORGANIZATION_NAME, text), x509.NameAttribute(NameOID.COMMON_NAME, text)]
            )

        usage = x509.KeyUsage(
            digital_signature=not ca,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=ca,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        made = (
            x509.CertificateBuilder()
            .subject_name(called(subject))
            .issuer_name(called("Root"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(day - dt.timedelta(days=1))
            .not_valid_after(day + dt.timedelta(days=90))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )
        if not ca:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        return made.sign(root_key, hashes.SHA256())

    chain = [issue(name, key.public_key(), False), issue("Root", root_key.public_key(), True)]
    (folder / "chain.pem").write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain))
    (folder / "own.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "chain.pem", folder / "own.key"


def test_an_own_certificate_is_tried_first(qtbot: QtBot, context: Context, tmp_path: Path) -> None:
    page = SettingsPage(context)
    qtbot.addWidget(page)
    mine = page.provenance
    chain, key = certificate(tmp_path, "Atelier Nord")
    mine.certificate.setText(str(chain))
    mine.certificate.editingFinished.emit()
    assert "belong together" in mine.problem.text() and load_settings().provenance.certificate == ""
    mine.key.setText(str(chain))  # the wrong file
    mine.key.editingFinished.emit()
    qtbot.waitUntil(lambda: mine._trying is None, timeout=WAIT)
    assert "not PEM" in mine.problem.text() and load_settings().provenance.key == "" and mine.key.text() == str(chain)
    mine.key.setText(str(key))
    mine.key.editingFinished.emit()
    qtbot.waitUntil(lambda: mine._trying is None, timeout=WAIT)
    assert mine.problem.text() == "" and "Atelier Nord" in mine.signer.text()
    now = load_settings().provenance
    assert (now.certificate, now.key) == (str(chain), str(key)) and not mine.studio.isEnabled()
    for field in (mine.certificate, mine.key):
        field.clear()
        field.editingFinished.emit()
    assert load_settings().provenance.certificate == "" and mine.problem.text() == ""
