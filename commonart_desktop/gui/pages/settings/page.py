"""Settings: applied at once; a bad value stays in its field with the reason under it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.core.i18n import language, sentence, tr
from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.settings.machine_section import CacheRows, DoctorList
from commonart_desktop.gui.pages.settings.provenance_section import ProvenanceFields
from commonart_desktop.gui.pages.settings.rows import FormRows
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
DEVICES = ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "mps")
_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d{1,2})?")
_CLUSTER = re.compile(r"|auto|(ray://)?([\w.-]+|\[[\dA-Fa-f:.]+\]):(?P<port>\d{1,5})", re.ASCII)
EXAMPLE = {"ja": "すし、フラット調、青い背景", "en": "sushi, flat style, blue background"}


def is_cluster(text: str) -> bool:
    """Whether a text has the form of a cluster's address: nothing, auto, host:port or ray://host:port."""
    found = _CLUSTER.fullmatch(text)
    return found is not None and (found["port"] is None or 0 < int(found["port"]) < 65536)


def why_not(folder: str) -> str | None:
    """Why pictures could not be written there, in the user's language; None if they can."""
    if not folder.strip():
        return tr("it must not be empty")
    place = Path(folder).expanduser().absolute()
    try:
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            return tr("it is not a folder")
    except (OSError, ValueError) as e:
        return str(e)
    return None if os.access(place, os.W_OK) else tr("it cannot be written")


class SettingsPage(StagedPage):
    """Looks, pictures, engine, data, and what this machine has."""

    def make(self, context: Context) -> Steps:
        self._context = context
        self._read = False
        now = context.settings.now
        self.language = self._choice(
            now.language,
            ("", self.tr("As the system")),
            ("ja", "日本語"),
            ("en", "English"),
            then=lambda value: self._put(language=value),
        )
        self.theme = self._choice(
            now.theme,
            ("system", self.tr("As the system")),
            ("light", self.tr("Light")),
            ("dark", self.tr("Dark")),
            then=lambda value: self._put(theme=value),
        )
        zoom = str(context.state.value(theme.ZOOM, "1"))
        self.zoom = self._choice(zoom, *((z, f"{round(float(z) * 100)} %") for z in ZOOMS), then=self._put_zoom)
        self.out = QLineEdit(now.out)
        self.out_why = label(role="bad")
        self.browse = QPushButton(
            icon("folder"), self.tr("Choose…"), clicked=self._browse, accessibleName=self.tr("Choose the output folder")
        )
        self.name = QLineEdit(now.name, placeholderText=naming.DEFAULT)
        self.name_why, self.example = label(role="bad"), label(role="hint")
        self.fields = label(
            self.tr("Fields: {fields}").format(fields="  ".join("{" + f + "}" for f in naming.FIELDS)), "hint"
        )
        yield
        self.device = self._choice(
            now.device, *((d, self.tr("Choose by itself") if d == "auto" else d) for d in DEVICES), then=lambda _: None
        )
        self.device.setEditable(True)
        self.device_why, self.device_found = label(role="bad"), label(role="hint")
        self.device_found.hide()
        self.dtype = self._choice(
            now.dtype,
            *((d, self.tr("Choose by itself") if d == "auto" else d) for d in DTYPES),
            then=lambda value: self._put(dtype=value),
        )
        sizes = dict.fromkeys(("auto", "8", "12", "16", "24", now.memory))  # also one written by hand
        self.memory = self._choice(
            now.memory,
            *((m, self.tr("All there is") if m == "auto" else f"{m} GB") for m in sizes),
            then=lambda value: self._put(memory=value),
        )
        self.cluster = QLineEdit(now.cluster, placeholderText=self.tr("none"))
        self.cluster_why = label(role="bad")
        self.leave = QCheckBox(self.tr("Leave the engine working until the queue is empty"))
        self.leave.setChecked(str(context.state.value("engine/leave_working", "false")) == "true")
        self.leave.toggled.connect(lambda on: context.state.setValue("engine/leave_working", "true" if on else "false"))
        self.folder = label(str(home().absolute()))
        self.open = QPushButton(
            icon("folder"), self.tr("Open folder"), clicked=self._open, accessibleName=self.tr("Open the data folder")
        )
        yield
        self.caches, self.doctor = CacheRows(context), DoctorList(context)
        yield

        self._forms: list[FormRows] = []
        self._column = QVBoxLayout()
        self._column.setContentsMargins(SPACE["xl"], SPACE["l"], SPACE["xl"], SPACE["xl"])
        self._column.setSpacing(SPACE["m"])
        self._column.addWidget(label(self.tr("Settings"), "title"))
        form = self._section(self.tr("Appearance"))
        form.add(self.tr("Language"), self.language)
        form.add(self.tr("Theme"), self.theme)
        form.add(self.tr("Size of the letters"), self.zoom)
        form = self._section(self.tr("Pictures"))
        form.add(self.tr("Output folder"), self._beside(self.out, self.browse), self.out_why)
        form.add(self.tr("File names"), self.name, self.name_why, self.example, self.fields)
        yield
        self.provenance = ProvenanceFields(context, self._section(self.tr("Provenance")), self)
        yield
        form = self._section(self.tr("Engine"))
        form.add(self.tr("Device"), self.device, self.device_why, self.device_found)
        form.add(self.tr("Number type"), self.dtype)
        form.add(
            self.tr("Memory to use"),
            self.memory,
            label(
                self.tr(
                    "Of the graphics card; on a CPU, of the main memory. Less means fewer pictures at once, and parts that take turns."
                ),
                "hint",
            ),
        )
        form.add(
            self.tr("Cluster"),
            self.cluster,
            self.cluster_why,
            label(
                self.tr(
                    "Address of a Ray cluster that makes the pictures in place of this machine: auto finds one that runs here. It counts from the next start of the engine."
                ),
                "hint",
            ),
        )
        form.add(
            self.tr("When the window closes"),
            self.leave,
            label(self.tr("Otherwise it stops after the picture in hand; nothing that waits is lost."), "hint"),
        )
        form = self._section(self.tr("Data"))
        form.add(self.tr("Data folder"), self._beside(self.folder, self.open))
        form.add(self.tr("Stored for speed"), self.caches)
        yield
        self._section(self.tr("This machine"))
        self._column.addWidget(self.doctor)
        names = [name for form in self._forms for name in form.names]
        for name in names:  # one column through all sections
            name.setMinimumWidth(max(n.sizeHint().width() for n in names))
        self._column.addStretch()
        for field, name in (
            (self.language, self.tr("Language")),
            (self.theme, self.tr("Theme")),
            (self.zoom, self.tr("Size of the letters")),
            (self.dtype, self.tr("Number type")),
            (self.memory, self.tr("Memory to use")),
            (self.cluster, self.tr("Cluster")),
            (self.out, self.tr("Output folder")),
            (self.name, self.tr("File names")),
            (self.device, self.tr("Device")),
        ):
            field.setAccessibleName(name)
        yield
        inner = QWidget()
        inner.setLayout(self._column)
        yield
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(FormScroll(inner, widest=860))
        self.out.textEdited.connect(self._try_out)
        self.name.textEdited.connect(self._try_name)
        self.device.currentTextChanged.connect(self._try_device)
        self.cluster.textEdited.connect(self._try_cluster)
        self._why(self.out_why, "")
        self._why(self.device_why, "")
        self._why(self.cluster_why, "")
        self._show_example(now.name)
        self.doctor.told.connect(self._on_checks)
        context.settings.changed.connect(self._follow)

    def busy(self) -> bool:
        """Whether this machine is still being looked at."""
        return not self._read or not self.doctor.again.isEnabled()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._read:
            self._read = True
            self.caches.measure()
            self.doctor.ask()

    # building -----------------------------------------------------------------------------------------------------

    def _choice(self, now: str, *entries: tuple[str, str], then: Callable[[str], None]) -> QComboBox:
        box = QComboBox()
        for value, text in entries:
            box.addItem(text, value)
        if box.findData(now) < 0:
            box.addItem(now, now)
        box.setCurrentIndex(box.findData(now))
        box.currentIndexChanged.connect(lambda at: then(box.itemData(at) or ""))
        box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        box.wheelEvent = lambda event: event.ignore()  # type: ignore[method-assign]  # scrolling the page changes nothing
        return box

    def _section(self, title: str) -> FormRows:
        self._column.addSpacing(SPACE["s"])
        self._column.addWidget(label(title, "section"))
        form = FormRows()
        self._forms.append(form)
        self._column.addLayout(form)
        return form

    def _beside(self, wide: QWidget, button: QWidget) -> QWidget:
        whole = QWidget()
        row = QHBoxLayout(whole)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE["s"])
        row.addWidget(wide, 1)
        row.addWidget(button)
        return whole

    # applying -----------------------------------------------------------------------------------------------------

    def _put(self, **values: str) -> None:
        try:
            self._context.settings.put(**values)
        except CommonArtError as e:
            self._context.notices.complain(e)

    def _put_zoom(self, value: str) -> None:
        self._context.state.setValue(theme.ZOOM, value)
        self._context.settings.changed.emit()

    def _on_checks(self, checks: list[dict[str, Any]]) -> None:
        """The doctor has looked: offer the devices that are there, each with its name."""
        found = {
            c["id"]: str(c["value"])
            for c in checks
            if c["state"] == "ok" and c["value"] and re.fullmatch(r"mps|(cuda|xpu):\d+", c["id"])
        }
        auto = next((str(c["value"]) for c in checks if c["id"] == "auto" and c["value"]), "")
        now = self._context.settings.now.device
        entries = {"auto": auto, "cpu": ""} | found | ({} if now in ("auto", "cpu", *found) else {now: ""})
        typed = self.device.currentText()
        with QSignalBlocker(self.device):
            self.device.clear()
            for device, about in entries.items():
                self.device.addItem(self.tr("Choose by itself") if device == "auto" else device, device)
                self.device.setItemData(self.device.count() - 1, about, Qt.ItemDataRole.ToolTipRole)
            self.device.setCurrentText(typed)  # also one being typed
        self.device_found.setText("\n".join(f"{device}: {about}" for device, about in entries.items() if about))
        self.device_found.setVisible(bool(self.device_found.text()))

    def _follow(self) -> None:
        """Another page or a shortcut changed a setting."""
        now = self._context.settings.now
        for box, value in (
            (self.language, now.language),
            (self.theme, now.theme),
            (self.dtype, now.dtype),
            (self.memory, now.memory),
        ):
            if box.currentData() != value and box.findData(value) >= 0:
                with QSignalBlocker(box):
                    box.setCurrentIndex(box.findData(value))
        if not self.cluster.hasFocus() and not self.cluster_why.text() and self.cluster.text().strip() != now.cluster:
            self.cluster.setText(now.cluster)
        if not self.out.hasFocus() and not self.out_why.text() and self.out.text().strip() != now.out:
            self.out.setText(now.out)

    def _why(self, where: QWidget, text: str) -> None:
        where.setText(text)  # type: ignore[attr-defined]
        where.setVisible(bool(text))

    def _try_out(self, text: str) -> None:
        why = why_not(text)
        self._why(self.out_why, why or "")
        if why is None:
            self._put(out=text.strip())

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Output folder"), str(self._context.out))
        if folder:
            self.out.setText(folder)
            self._try_out(folder)

    def _try_name(self, text: str) -> None:
        if self._show_example(text.strip()):
            self._put(name=text.strip())

    def _show_example(self, template: str) -> bool:
        """The file that this template would name, or why it cannot; true for a good one."""
        request = ImageRequest(
            prompt=EXAMPLE[language()], seed=7, model=self._context.settings.now.model, width=512, height=512
        )
        try:
            found = naming.render(template or naming.DEFAULT, request, job=self.tr("first job"), image=1)
        except CommonArtError as e:
            self._why(self.name_why, sentence(e)[0])
            self.example.hide()
            return False
        self._why(self.name_why, "")
        self.example.setText(self.tr("For example: {path}").format(path=f"{found}.png"))
        self.example.show()
        return True

    def _try_device(self, text: str) -> None:
        at = self.device.findText(text)
        value = self.device.itemData(at) if at >= 0 else text.strip()
        good = _DEVICE.fullmatch(value or "") is not None
        self._why(
            self.device_why, "" if good else self.tr("Write it like {example}.").format(example="cpu, cuda:0, mps")
        )
        if good:
            self._put(device=value)

    def _try_cluster(self, text: str) -> None:
        good = is_cluster(text.strip())
        self._why(
            self.cluster_why,
            "" if good else self.tr("Write it like {example}.").format(example="auto, 10.0.0.5:6379, ray://host:10001"),
        )
        if good:
            self._put(cluster=text.strip())

    def _open(self) -> None:
        home().mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(home().absolute())))
