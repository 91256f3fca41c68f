"""The left side of the Export page: what is to be exported, and where to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QFileDialog, QLineEdit, QToolButton, QVBoxLayout, QWidget

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.export.fields import PrecisionField
from commonart_desktop.gui.pages.export.job import ExportRequest, OutputPlace, inside, look_at_place, propose
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint, WheelGuard, column, row
from commonart_desktop.gui.widgets.labels import label, size
from commonart_desktop.gui.widgets.lora_list import ExportLoras, problem_of
from commonart_desktop.gui.widgets.model_field import ExportModels
from commonart_desktop.gui.widgets.model_list import Exportable
from commonart_desktop.gui.widgets.parts_field import LACKING, PartsField
from commonart_desktop.gui.widgets.report_page import ReportForm


class ExportForm(ReportForm):
    """What to export, how precise, and where to."""

    DRAFT = "export/draft"

    def make(self, context: Context) -> Steps:
        self._context = context
        self._own_out = False  # the folder was typed or chosen
        self._asked: tuple[Any, ...] = ()  # what the place was last looked at for
        self.place: OutputPlace | None = None  # None while it is looked at
        self.model, self.parts = ExportModels(), PartsField()
        self.loras, self.precision = ExportLoras(), PrecisionField()
        self.out = QLineEdit(accessibleName=self.tr("Output folder"))
        self.browse = QToolButton(
            icon=icon("folder"), toolTip=self.tr("Choose a folder"), accessibleName=self.tr("Choose a folder")
        )
        self.browse.clicked.connect(self._browse)
        self.out_error, self.out_hint = FieldHint(), FieldHint("hint")
        yield
        fields = QVBoxLayout(self)
        fields.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["s"])
        fields.setSpacing(SPACE["xs"])
        fields.addWidget(label(self.tr("Export"), "title"))
        fields.addWidget(
            label(
                self.tr(
                    "Writes a model as ONNX graphs that run without PyTorch, and proves them against it before the folder "
                    "is there."
                ),
                "muted",
            )
        )
        self.parts_label = label(self.tr("Parts that it lacks"))
        for title, field in (
            (label(self.tr("Model")), self.model),
            (self.parts_label, self.parts),
            (label(self.tr("LoRA")), self.loras),
            (label(self.tr("Precision")), self.precision),
            (label(self.tr("Output folder")), None),
        ):
            title.setContentsMargins(0, SPACE["s"], 0, 0)  # and no spacer: a title that is not shown leaves no gap
            fields.addWidget(title)
            if field is not None:
                fields.addWidget(field)
        fields.addLayout(column(row(self.out, self.browse), self.out_error, self.out_hint))
        fields.addStretch()
        yield
        self._guard = WheelGuard(self)
        self._guard.watch(self)
        self._timer = QTimer(self, singleShot=True, interval=250)
        self._timer.timeout.connect(self._look)
        self._restore()
        self.model.changed.connect(self._on_model)
        self.parts.found.connect(self.model.take)
        self.loras.changed.connect(self.changed)
        self.precision.changed.connect(self._on_target)
        self.out.textEdited.connect(self._on_typed)
        context.settings.changed.connect(self._on_target)
        self._on_model()

    # values -----------------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        draft = self.read_draft()
        self.precision.set_value(draft.get("precision"))
        self.loras.set_value(draft.get("loras"))
        if isinstance(draft.get("out"), str) and draft["out"]:
            self.out.setText(draft["out"])
            self._own_out = True
        if isinstance(draft.get("model"), str) and draft["model"]:
            self.model.choose(draft["model"])
        else:
            self.model.set_value(self._context.settings.now.model)

    def keep(self) -> None:
        draft = {
            "model": self.model.value() if self.model._chosen else "",
            "precision": self.precision.value(),
            "loras": self.loras.value(),
            "out": self.out.text() if self._own_out else "",
        }
        self.store_draft(draft)

    def request(self) -> ExportRequest:
        encoder, vae = self.parts.value()
        info = self.model.info()
        return ExportRequest(
            model=self.model.value(),
            name=info.name if info else Path(self.model.value()).name,
            out=str(Path(self.out.text().strip()).expanduser().absolute()),
            precision=self.precision.value(),
            loras=tuple((name, scale) for name, scale in self.loras.value()),
            text_encoder=encoder,
            vae=vae,
            counts=self.place.counts if self.place else {},
        )

    def first_problem(self) -> QWidget | None:
        found = problem_of(self.model, self.loras)
        if found is not None:
            lacking = found[1].kind in LACKING and found[0] is self.model.combo
            return (
                self.parts.encoder
                if lacking and not self.parts.encoder.text()
                else self.parts.vae
                if lacking
                else found[0]
            )
        if not self.out.text().strip() or (self.place is not None and self.place.problem is not None):
            return self.out
        return None

    def busy(self) -> bool:
        return self.place is None

    def ready(self) -> bool:
        info = self.model.info()
        return info is not None and info.problem is None and self.place is not None and self.first_problem() is None

    def on_run_ended(self) -> None:
        """The folder may be taken now."""
        self._asked = ()
        if not self._own_out:
            self.out.clear()
        self._on_target()

    # looking ----------------------------------------------------------------------------------------------------------

    def _on_model(self) -> None:
        problem = self.model.problem()
        self.parts.show_model(self.model.value(), problem is not None and problem.kind in LACKING)
        self.parts_label.setVisible(self.parts.isVisibleTo(self))
        if problem is not None and problem.kind == "missing-part":
            self.model.error.tell(
                self.tr(
                    "{model} is only a denoiser. Choose the folders of its other parts; they are remembered for it."
                ).format(model=Path(self.model.value()).name)
            )
        self._on_target()

    def _on_typed(self, text: str) -> None:
        self._own_out = bool(text.strip())
        self._on_target()

    def _on_target(self, *_: object) -> None:
        self.place = None
        self._timer.start()
        self.changed.emit()

    def _folder_name(self) -> str:
        """``<model>-onnx-<precision>``, of letters that every disk takes."""
        info = self.model.info()
        plain = re.sub(r"[^\w.-]+", "-", Path(info.name if info else self.model.value()).name).strip("-.")
        return f"{plain or 'model'}-onnx-{self.precision.value()}"

    def _look(self) -> None:
        """In a thread: propose a folder unless one was chosen, and look at it. The newest question wins."""
        info = self.model.info()
        parts = info.parts if isinstance(info, Exportable) else {}
        precision, text, own = self.precision.value(), self.out.text().strip(), self._own_out
        name, outputs = self._folder_name(), self._context.out
        asked = self._asked = (tuple(sorted(parts.items())), precision, text if own else str(outputs / name), object())

        def work() -> OutputPlace:
            return look_at_place(text if own else propose(outputs, name), parts, precision)

        Task(
            self,
            lambda task: work(),
            done=lambda place: self._on_place(asked, place),
            failed=self.out_error.complain,
        )

    def _on_place(self, asked: tuple[Any, ...], place: OutputPlace) -> None:
        if asked is not self._asked:
            return
        if not self._own_out:
            self.out.setText(place.out)
            self.out.setCursorPosition(len(place.out))  # what differs stands at the end
        self.out.setToolTip(place.out)
        self.place = place
        self.out_error.tell("")
        told = ""
        if place.problem is not None:
            self.out_error.complain(place.problem)
        elif place.need is not None and place.free is not None:
            told = self.tr("About {need} will be written; {free} are free.").format(
                need=size(place.need), free=size(place.free)
            )
            if place.need > place.free:
                self.out_error.tell(
                    self.tr(
                        "The disk is too small for it: about {need} are needed, {free} are free. Free some space or choose another "
                        "disk."
                    ).format(need=size(place.need), free=size(place.free))
                )
                told = ""
        self.out_hint.tell(told)
        self.changed.emit()

    def _browse(self) -> None:
        dialog = QFileDialog(self, self.tr("Choose a folder"), self.out.text())
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.choose)
        dialog.open()

    def choose(self, folder: str) -> None:
        """Export into this folder, or into a new one within it if something is there."""
        name = self._folder_name()
        Task(
            self,
            lambda task: inside(Path(folder), name),
            done=self._chosen,
            failed=self.out_error.complain,
        )

    def _chosen(self, place: str) -> None:
        self.out.setText(place)
        self._on_typed(place)
