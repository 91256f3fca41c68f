"""Everything about a job except its prompt: model, size, steps, seed, files; a flat dict for drafts and presets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QWidget,
)

from commonart_desktop.core.compose import MAX_PICTURES
from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.make.fields import SeedField, SizeField
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint, WheelGuard, column, roomy, row
from commonart_desktop.gui.widgets.lora_field import LoraField
from commonart_desktop.gui.widgets.model_field import ModelChoice
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract import naming
from engine.contract.errors import CommonArtError
from engine.contract.recipe import SAMPLER_NAMES
from engine.contract.request import DTYPES, FORMATS, SAMPLERS, ImageRequest


class ComposeForm(StagedPage):
    """The settings. ``fill`` is the inverse of ``values``; ``changed`` is emitted after every change."""

    changed = Signal()

    def make(self, context: Context) -> Steps:
        self._context = context
        self._sample = ""
        self._default_model = context.settings.now.model
        self.model = ModelChoice()
        self.model.set_value(self._default_model)
        self.loras = LoraField()
        yield
        self.quality = roomy(QComboBox(accessibleName=self.tr("Quality")))
        for key, text, tip in (
            ("exact", self.tr("Exact"), self.tr("Exactly the image that the seed stands for.")),
            ("balanced", self.tr("Balanced"), self.tr("Faster, with differences that are hard to see.")),
            ("fast", self.tr("Fast"), self.tr("Much faster; details differ from the exact image.")),
            ("draft", self.tr("Draft"), self.tr("The fastest, to try out prompts.")),
        ):
            self.quality.addItem(text, key)
            self.quality.setItemData(self.quality.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.quality_hint = FieldHint("hint")
        self.image_size = SizeField()
        self.steps = QSpinBox(minimum=1, maximum=1000, value=20, accessibleName=self.tr("Steps"))
        self.guidance = QDoubleSpinBox(
            minimum=0, maximum=100, value=4.5, singleStep=0.5, decimals=2, accessibleName=self.tr("Guidance")
        )
        self.guidance.setToolTip(self.tr("How closely the image follows the prompt"))
        self.sampler = roomy(QComboBox(accessibleName=self.tr("Sampler")))
        for name in SAMPLERS:
            self.sampler.addItem(SAMPLER_NAMES[name], name)
        yield
        self.seed = SeedField()
        self.count = QSpinBox(
            minimum=1,
            maximum=MAX_PICTURES,
            value=1,
            groupSeparatorShown=True,
            accessibleName=self.tr("Images of each prompt"),
        )
        self.out = QLineEdit(accessibleName=self.tr("Folder"))
        browse = QToolButton(
            icon=icon("folder"), accessibleName=self.tr("Choose a folder"), toolTip=self.tr("Choose a folder")
        )
        browse.clicked.connect(self._browse)
        self.name = QLineEdit(accessibleName=self.tr("File name"))
        self.name.setToolTip(self.tr("Fields: {fields}").format(fields=", ".join("{" + f + "}" for f in naming.FIELDS)))
        self.name_error, self.name_example = FieldHint(), FieldHint("hint")
        self.format = roomy(QComboBox(accessibleName=self.tr("File format")))
        for name in FORMATS:
            self.format.addItem(name.upper(), name)
        self.dtype = roomy(QComboBox(accessibleName=self.tr("Number format")))
        for name in DTYPES:
            self.dtype.addItem(self.tr("Automatic") if name == "auto" else name, name)
        self.deterministic = QCheckBox(self.tr("The same pixels every time (slower)"))
        self.job = QLineEdit(
            accessibleName=self.tr("Job name"), maxLength=200, placeholderText=self.tr("by the prompt")
        )
        yield
        self._lay_out(browse)
        yield
        self._read_settings()
        context.settings.changed.connect(self._on_settings)
        for signal in (
            self.loras.changed,
            self.quality.currentIndexChanged,
            self.image_size.changed,
            self.steps.valueChanged,
            self.guidance.valueChanged,
            self.sampler.currentIndexChanged,
            self.seed.changed,
            self.count.valueChanged,
            self.out.textChanged,
            self.name.textChanged,
            self.format.currentIndexChanged,
            self.dtype.currentIndexChanged,
            self.deterministic.toggled,
            self.job.textChanged,
        ):
            signal.connect(self._on_change)
        self.model.changed.connect(self._on_model)
        self._guard = WheelGuard(self)
        self._guard.watch(self)
        self._on_change()

    def _lay_out(self, browse: QToolButton) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(SPACE["s"])
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        guidance = QLabel(self.tr("Guidance"))
        form.addRow(self.tr("Model"), self.model)
        form.addRow(self.tr("LoRA"), self.loras)
        form.addRow(self.tr("Size"), self.image_size)
        form.addRow(self.tr("Steps"), row(self.steps, guidance, self.guidance))
        form.addRow(self.tr("Sampler"), self.sampler)
        form.addRow(self.tr("Quality"), column(self.quality, self.quality_hint))
        form.addRow(self.tr("Seed"), self.seed)
        each = QLabel(self.tr("of each prompt"))
        form.addRow(self.tr("Images"), row(self.count, each))
        form.addRow(self.tr("Folder"), row(self.out, browse))
        form.addRow(self.tr("File name"), column(self.name, self.name_error, self.name_example))
        form.addRow(self.tr("Format"), row(self.format, QLabel(self.tr("Numbers")), self.dtype))
        form.addRow("", self.deterministic)
        form.addRow(self.tr("Job name"), self.job)

    # settings of the program ------------------------------------------------------------------------------------------

    def _read_settings(self) -> None:
        self.out.setPlaceholderText(str(self._context.out))
        self.name.setPlaceholderText(self._context.settings.now.name or naming.DEFAULT)

    def _on_settings(self) -> None:
        new = self._context.settings.now.model
        if new != self._default_model and self.model.value() == self._default_model:
            self.model.set_value(new)  # no other was chosen here
        self._default_model = new
        self._read_settings()
        self._on_change()

    # values -----------------------------------------------------------------------------------------------------------

    def values(self) -> dict[str, Any]:
        """The values of all fields, JSON-ready."""
        return {
            "model": self.model.value(),
            "loras": self.loras.value(),
            "lora_merged": self.loras.merged.isChecked(),
            "preset": self.quality.currentData(),
            "shape": self.image_size.key(),
            "width": self.image_size.width_box.value(),
            "height": self.image_size.height_box.value(),
            "steps": self.steps.value(),
            "guidance": self.guidance.value(),
            "sampler": self.sampler.currentData(),
            "seed_mode": self.seed.key(),
            "seed": self.seed.number.text(),
            "count": self.count.value(),
            "out": self.out.text(),
            "name": self.name.text(),
            "format": self.format.currentData(),
            "dtype": self.dtype.currentData(),
            "deterministic": self.deterministic.isChecked(),
            "job": self.job.text(),
        }

    def fill(self, values: dict[str, Any]) -> None:
        """Set fields; missing values leave theirs unchanged, and values of a wrong type are ignored."""

        def of(key: str, kind: type | tuple[type, ...]) -> Any:
            value = values.get(key)
            return value if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool) else None

        if of("model", str):
            self.model.set_value(values["model"])
        if of("loras", (list, tuple)) is not None:
            self.loras.set_value(values["loras"])
        if of("lora_merged", bool) is not None:
            self.loras.merged.setChecked(values["lora_merged"])
        if of("shape", str):
            self.image_size.set_shape(values["shape"], of("width", int) or 512, of("height", int) or 512)
        elif "width" in values:
            self.image_size.set_value(of("width", int), of("height", int))
        for box, key, kind in (
            (self.steps, "steps", int),
            (self.guidance, "guidance", (int, float)),
            (self.count, "count", int),
        ):
            if of(key, kind) is not None:
                box.setValue(min(values[key], 10**8))  # the spin box clamps to its range
        for combo, key in (
            (self.sampler, "sampler"),
            (self.format, "format"),
            (self.dtype, "dtype"),
            (self.quality, "preset"),
        ):
            if combo.findData(values.get(key)) >= 0:
                combo.setCurrentIndex(combo.findData(values[key]))
        if of("seed_mode", str):
            self.seed.set_value(values["seed_mode"], of("seed", str) or "1")
        for line, key in ((self.out, "out"), (self.name, "name"), (self.job, "job")):
            if of(key, str) is not None:
                line.setText(values[key])
        if of("deterministic", bool) is not None:
            self.deterministic.setChecked(values["deterministic"])

    def base(self) -> dict[str, Any]:
        """The settings as arguments of ``ImageRequest``, without prompt and seed."""
        width, height = self.image_size.value()
        return {
            "model": self.model.value(),
            "loras": self.loras.value(),
            "lora_merged": self.loras.merged.isChecked() or not self.loras.value(),
            "preset": self.quality.currentData(),
            "width": width,
            "height": height,
            "steps": self.steps.value(),
            "guidance": self.guidance.value(),
            "sampler": self.sampler.currentData(),
            "dtype": self.dtype.currentData(),
            "deterministic": self.deterministic.isChecked(),
            "out": str(Path(self.out.text().strip() or self._context.out).expanduser().absolute()),
            "name": self.name.text().strip() or self._context.settings.now.name,
            "format": self.format.currentData(),
        }

    def first_problem(self) -> QWidget | None:
        """The first invalid field; its error is shown below it."""
        for field, problem in (
            (self.model.combo, self.model.problem()),
            (self.loras.combo, self.loras.problem()),
            (self.image_size.width_box, self.image_size.problem()),
            (self.seed.number, self.seed.problem()),
            (self.name, self._name_problem()),
        ):
            if problem is not None:
                return field
        return None

    # hints below the fields -------------------------------------------------------------------------------------

    def set_sample(self, prompt: str) -> None:
        """Set the prompt for the example of a file name."""
        self._sample = prompt
        self._show_name()

    def _name_problem(self) -> CommonArtError | None:
        try:
            naming.check(self.name.text().strip() or self._context.settings.now.name or naming.DEFAULT)
        except CommonArtError as e:
            return e
        return None

    def _show_name(self) -> None:
        info = self.model.info()
        base = self.base()
        side = info.own_side if info and info.own_side else 512
        values = base | {
            "prompt": self._sample or self.tr("a red apple"),
            "seed": self.seed.value() or 7,
            "width": base["width"] or side,
            "height": base["height"] or side,
        }
        try:
            example = naming.render(
                base["name"] or naming.DEFAULT, ImageRequest(**values), job=self.job.text(), image=1
            )
        except CommonArtError as e:
            self.name_example.tell("")
            self.name_error.tell(sentence(e)[0])
            return
        self.name_error.tell("")
        self.name_example.tell(f"{example}.{'jpg' if base['format'] == 'jpeg' else base['format']}")

    def _on_model(self) -> None:
        self.image_size.set_model(self.model.info())
        self._on_change()

    def _on_change(self, *_: object) -> None:
        self._show_name()
        self.out.setToolTip(self.base()["out"])
        hint = str(self.quality.currentData(Qt.ItemDataRole.ToolTipRole))
        self.quality.setToolTip(hint)
        self.quality_hint.tell(hint)
        self.changed.emit()

    def _browse(self) -> None:
        dialog = QFileDialog(self, self.tr("Choose a folder"), self.base()["out"])
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.out.setText)
        dialog.open()
