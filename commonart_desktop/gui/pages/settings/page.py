"""Settings: applied at once; a bad value stays in its field with the reason under it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import QCheckBox, QFileDialog, QPushButton, QVBoxLayout, QWidget

from commonart_desktop.core.i18n import language, sentence
from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.settings.fields import CheckedEdit, Choice, DeviceField, beside
from commonart_desktop.gui.pages.settings.machine_section import CacheRows, DoctorList
from commonart_desktop.gui.pages.settings.provenance_section import ProvenanceFields
from commonart_desktop.gui.pages.settings.rows import FormRow, FormRows
from commonart_desktop.gui.pages.settings.validation import folder_problem, is_cluster
from commonart_desktop.gui.style import theme
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.labels import label
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract import naming
from engine.contract.errors import CommonArtError
from engine.contract.paths import home
from engine.contract.request import DTYPES, ImageRequest

ZOOMS = ("1", "1.1", "1.25", "1.5")
LEAVE_WORKING = "engine/leave_working"  # in context.state
EXAMPLE = {"ja": "すし、フラット調、青い背景", "en": "sushi, flat style, blue background"}


class SettingsPage(StagedPage):
    """Appearance, images, provenance, engine, data, and what this machine has."""

    def make(self, context: Context) -> Steps:
        self._context = context
        self._shown = False
        self._forms: list[FormRows] = []
        self._column = QVBoxLayout()
        self._column.setContentsMargins(SPACE["xl"], SPACE["l"], SPACE["xl"], SPACE["xl"])
        self._column.setSpacing(SPACE["m"])
        self._column.addWidget(label(self.tr("Settings"), "title"))
        yield from self._create_fields()
        self._section(self.tr("Appearance"), self._appearance_rows())
        self._section(self.tr("Images"), self._image_rows())
        yield
        self.provenance = ProvenanceFields(context, self)
        self._section(self.tr("Provenance"), self.provenance.rows())
        yield
        self._section(self.tr("Engine"), self._engine_rows())
        self._section(self.tr("Data"), self._data_rows())
        yield
        self._section(self.tr("This machine"), ())
        self._column.addWidget(self.doctor)
        names = [name for form in self._forms for name in form.names]
        for name in names:  # one column through all sections
            name.setMinimumWidth(max(n.sizeHint().width() for n in names))
        self._column.addStretch()
        yield
        inner = QWidget()
        inner.setLayout(self._column)
        yield
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(FormScroll(inner, widest=860))
        self._name_problem(context.settings.now.name)
        self.doctor.checked.connect(lambda checks: self.device.show_checks(checks, context.settings.now.device))
        context.settings.changed.connect(self._follow)

    def _create_fields(self) -> Steps:
        context, now = self._context, self._context.settings.now
        automatic = self.tr("Automatic")
        self.language = Choice(
            now.language,
            (("", self.tr("Same as the system")), ("ja", "日本語"), ("en", "English")),
            lambda value: self._put(language=value),
        )
        self.theme = Choice(
            now.theme,
            (("system", self.tr("Same as the system")), ("light", self.tr("Light")), ("dark", self.tr("Dark"))),
            lambda value: self._put(theme=value),
        )
        zoom = str(context.state.value(theme.ZOOM, "1"))
        self.zoom = Choice(zoom, ((z, f"{round(float(z) * 100)} %") for z in ZOOMS), self._put_zoom)
        self.out = CheckedEdit(now.out, folder_problem, lambda value: self._put(out=value))
        self.browse = QPushButton(
            icon("folder"), self.tr("Choose…"), clicked=self._browse, accessibleName=self.tr("Choose the output folder")
        )
        self.example = label(role="hint")
        self.name = CheckedEdit(now.name, self._name_problem, lambda value: self._put(name=value), naming.DEFAULT)
        yield
        self.device = DeviceField(now.device, lambda value: self._put(device=value))
        self.dtype = Choice(
            now.dtype,
            ((d, automatic if d == "auto" else d) for d in DTYPES),
            lambda value: self._put(dtype=value),
        )
        sizes = dict.fromkeys(("auto", "8", "12", "16", "24", now.memory))  # also one written by hand
        self.memory = Choice(
            now.memory,
            ((m, self.tr("All") if m == "auto" else f"{m} GB") for m in sizes),
            lambda value: self._put(memory=value),
        )
        self.cluster = CheckedEdit(
            now.cluster, self._cluster_problem, lambda value: self._put(cluster=value), self.tr("none")
        )
        self.leave = QCheckBox(self.tr("Leave the engine working until the queue is empty"))
        self.leave.setChecked(str(context.state.value(LEAVE_WORKING, "false")) == "true")
        self.leave.toggled.connect(lambda on: context.state.setValue(LEAVE_WORKING, "true" if on else "false"))
        self.folder = label(str(home().absolute()))
        self.open = QPushButton(
            icon("folder"), self.tr("Open folder"), clicked=self._open, accessibleName=self.tr("Open the data folder")
        )
        yield
        self.caches, self.doctor = CacheRows(context), DoctorList(context)
        yield

    # the rows of each section -----------------------------------------------------------------------------------------

    def _appearance_rows(self) -> Iterable[FormRow]:
        return (
            FormRow(self.tr("Language"), self.language),
            FormRow(self.tr("Theme"), self.theme),
            FormRow(self.tr("Text size"), self.zoom),
        )

    def _image_rows(self) -> Iterable[FormRow]:
        fields = "  ".join("{" + field + "}" for field in naming.FIELDS)
        return (
            FormRow(self.tr("Output folder"), beside(self.out, self.browse), (self.out.problem,)),
            FormRow(
                self.tr("File names"),
                self.name,
                (self.name.problem, self.example),
                self.tr("Fields: {fields}").format(fields=fields),
            ),
        )

    def _engine_rows(self) -> Iterable[FormRow]:
        return (
            FormRow(self.tr("Device"), self.device, (self.device.problem, self.device.devices)),
            FormRow(self.tr("Precision"), self.dtype),
            FormRow(
                self.tr("Memory to use"),
                self.memory,
                hint=self.tr(
                    "Of the graphics card; on a CPU, of the main memory. Less means fewer images at once, and parts "
                    "of the model loaded one after the other."
                ),
            ),
            FormRow(
                self.tr("Cluster"),
                self.cluster,
                (self.cluster.problem,),
                self.tr(
                    "Address of a Ray cluster that makes the images instead of this machine: auto finds one that runs "
                    "here. It takes effect at the next start of the engine."
                ),
            ),
            FormRow(
                self.tr("When the window closes"),
                self.leave,
                hint=self.tr("Otherwise it stops after the current image; nothing that waits is lost."),
            ),
        )

    def _data_rows(self) -> Iterable[FormRow]:
        return (
            FormRow(self.tr("Data folder"), beside(self.folder, self.open)),
            FormRow(self.tr("Caches"), self.caches),
        )

    def _section(self, title: str, rows: Iterable[FormRow]) -> None:
        self._column.addSpacing(SPACE["s"])
        self._column.addWidget(label(title, "section"))
        form = FormRows()
        self._forms.append(form)
        self._column.addLayout(form)
        for row in rows:
            form.add(row)

    # ------------------------------------------------------------------------------------------------------------------

    def busy(self) -> bool:
        """Whether this machine is still being checked."""
        return not self._shown or not self.doctor.again.isEnabled()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._shown:
            self._shown = True
            self.caches.measure()
            self.doctor.check()

    # applying ---------------------------------------------------------------------------------------------------------

    def _put(self, **values: str) -> None:
        try:
            self._context.settings.put(**values)
        except CommonArtError as e:
            self._context.notices.complain(e)

    def _put_zoom(self, value: str) -> None:
        self._context.state.setValue(theme.ZOOM, value)
        self._context.settings.changed.emit()

    def _follow(self) -> None:
        """Another page or a shortcut changed a setting."""
        now: Any = self._context.settings.now
        for name in ("language", "theme", "dtype", "memory", "cluster", "out"):
            getattr(self, name).show_value(getattr(now, name))

    def _name_problem(self, template: str) -> str:
        """Why files cannot be named by this template; otherwise ``example`` shows a name."""
        request = ImageRequest(
            prompt=EXAMPLE[language()], seed=7, model=self._context.settings.now.model, width=512, height=512
        )
        problem, name = "", ""
        try:
            name = naming.render(template or naming.DEFAULT, request, job=self.tr("first job"), image=1)
        except CommonArtError as e:
            problem = sentence(e)[0]
        self.example.setText(self.tr("For example: {path}").format(path=f"{name}.png"))
        self.example.setVisible(not problem)
        return problem

    def _cluster_problem(self, text: str) -> str:
        if is_cluster(text):
            return ""
        return self.tr("Write it like {example}.").format(example="auto, 10.0.0.5:6379, ray://host:10001")

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Output folder"), str(self._context.out))
        if folder:
            self.out.setText(folder)
            self.out.submit(folder)

    def _open(self) -> None:
        home().mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(home().absolute())))
