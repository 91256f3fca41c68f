"""The left side of the Evaluation page: what is to be evaluated, and what it is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QCheckBox, QDoubleSpinBox, QGridLayout, QSpinBox, QVBoxLayout, QWidget

from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.evaluate.fields import EncoderField, PathField
from commonart_desktop.gui.pages.evaluate.job import EvaluationRequest
from commonart_desktop.gui.pages.evaluate.report import NAME
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint, WheelGuard
from commonart_desktop.gui.widgets.labels import label
from commonart_desktop.gui.widgets.lora_list import ExportLoras, problem_of
from commonart_desktop.gui.widgets.model_field import ModelChoice
from commonart_desktop.gui.widgets.report_page import ReportForm
from engine.contract.errors import BadFile, CommonArtError, Phrase


class EvaluateForm(ReportForm):
    """What to evaluate, and what to compare it with."""

    DRAFT = "evaluate/draft"

    def make(self, context: Context) -> Steps:
        self._context = context
        self.model, self.loras = ModelChoice(), ExportLoras()
        self.prompts = PathField(
            self.tr("Prompts file"),
            self.tr("The concepts the model knows"),
            self.tr("Choose a prompts file"),
            self.tr("Prompts (*.txt *.csv *.tsv *.jsonl *.json)"),
        )
        self.reference = PathField(
            self.tr("Reference folder"), self.tr("None: no distances"), self.tr("Choose a folder of real images")
        )
        yield
        self.encoders = EncoderField()
        self.against = PathField(
            self.tr("Earlier result"), self.tr("None"), self.tr("Choose an earlier result"), f"{NAME} (*.json)"
        )
        self.langs = {
            "ja": QCheckBox(self.tr("Japanese"), checked=True),
            "en": QCheckBox(self.tr("English"), checked=True),
        }
        self.langs_error = FieldHint()
        self.count = QSpinBox(minimum=1, maximum=100, accessibleName=self.tr("Images per prompt"))
        self.limit = QSpinBox(
            maximum=1_000_000,
            specialValueText=self.tr("all"),
            accessibleName=self.tr("Prompts of each language, at most"),
        )
        self.seed = QSpinBox(maximum=2**31 - 1, value=1000, accessibleName=self.tr("First seed"))
        self.steps = QSpinBox(minimum=1, maximum=1000, value=20, accessibleName=self.tr("Steps"))
        self.guidance = QDoubleSpinBox(
            minimum=0, maximum=30, decimals=1, singleStep=0.5, value=4.5, accessibleName=self.tr("Guidance")
        )
        yield
        yield from self._lay_out()
        yield
        self._guard = WheelGuard(self)
        self._guard.watch(self)
        self._restore()
        for field in (self.model, self.loras, self.prompts, self.reference, self.encoders, self.against):
            field.changed.connect(self._on_changed)
        for box in self.langs.values():
            box.toggled.connect(self._on_changed)
        context.settings.changed.connect(self._on_settings)
        self._on_changed()

    def _lay_out(self) -> Steps:
        fields = QVBoxLayout(self)
        fields.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["s"])
        fields.setSpacing(SPACE["xs"])
        fields.addWidget(label(self.tr("Evaluate"), "title"))
        fields.addWidget(
            label(
                self.tr(
                    "Measures how well a model follows Japanese and English prompts. It is done on this machine alone."
                ),
                "muted",
            )
        )
        langs = QWidget()
        line = QGridLayout(langs, spacing=SPACE["m"])
        line.setContentsMargins(0, 0, 0, 0)
        line.setColumnStretch(2, 1)
        for n, box in enumerate(self.langs.values()):
            line.addWidget(box, 0, n)
        yield
        numbers = QWidget()
        grid = QGridLayout(numbers, horizontalSpacing=SPACE["m"], verticalSpacing=SPACE["s"])
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 1)
        for n, box in enumerate((self.count, self.limit, self.seed, self.steps, self.guidance)):
            box.setMinimumWidth(110)
            grid.addWidget(label(box.accessibleName()), n, 0)
            grid.addWidget(box, n, 1)
        yield
        for title, field, hint in (
            (self.tr("Model"), self.model, ""),
            (self.tr("LoRA"), self.loras, ""),
            (
                self.tr("Prompts file"),
                self.prompts,
                self.tr(
                    "Text, CSV or JSONL, or captions of COCO's form. Without one, what the model knows is drawn and "
                    "looked for among true drawings."
                ),
            ),
            (self.tr("Languages"), langs, ""),
            (
                self.tr("Encoders"),
                self.encoders,
                self.tr("They read images and texts, for CLIPScore and distances. Nothing is downloaded."),
            ),
            (
                self.tr("Reference folder"),
                self.reference,
                self.tr("Real images for KID and CMMD (50 at least) and FID (2,048)."),
            ),
            (self.tr("Compare with an earlier result"), self.against, ""),
            ("", numbers, ""),
        ):
            fields.addSpacing(SPACE["s"])
            if title:
                fields.addWidget(label(title))
            fields.addWidget(field)
            if field is langs:
                fields.addWidget(self.langs_error)
            if hint:
                fields.addWidget(label(hint, "hint"))
        fields.addStretch()

    # values -----------------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        draft = self.read_draft()
        self.loras.set_value(draft.get("loras"))
        self.encoders.set_value(draft.get("encoders"))
        for name, field in (("prompts", self.prompts), ("reference", self.reference), ("against", self.against)):
            field.set_value(draft.get(name))
        for name, box in self.langs.items():
            box.setChecked(draft.get(name) is not False)
        for name, box in self._numbers().items():
            number = draft.get(name)
            if (
                isinstance(number, (int, float))
                and not isinstance(number, bool)
                and box.minimum() <= number <= box.maximum()
            ):
                box.setValue(number if isinstance(box, QDoubleSpinBox) else int(number))
        chosen = draft.get("model")
        self._own = (
            isinstance(chosen, str) and bool(chosen) and chosen != self._context.settings.now.model
        )  # not the one of the settings
        self.model.set_value(str(chosen) if self._own else self._context.settings.now.model)
        self._followed = self._context.settings.now.model

    def _numbers(self) -> dict[str, QSpinBox | QDoubleSpinBox]:
        return {
            "count": self.count,
            "limit": self.limit,
            "seed": self.seed,
            "steps": self.steps,
            "guidance": self.guidance,
        }

    def keep(self) -> None:
        draft: dict[str, Any] = {
            "model": self.model.value(),
            "loras": self.loras.value(),
            "encoders": self.encoders.value(),
            "prompts": self.prompts.field.text(),
            "reference": self.reference.field.text(),
            "against": self.against.field.text(),
        }
        draft |= {name: box.isChecked() for name, box in self.langs.items()} | {
            name: box.value() for name, box in self._numbers().items()
        }
        self.store_draft(draft)

    def request(self) -> EvaluationRequest:
        info, settings = self.model.info(), self._context.settings.now
        return EvaluationRequest(
            model=self.model.value(),
            name=info.name if info else Path(self.model.value()).name,
            outputs=str(self._context.out),
            loras=tuple((str(name), float(scale)) for name, scale in self.loras.value()),
            prompts=self.prompts.value(),
            reference=self.reference.value(),
            encoders=tuple(self.encoders.value()),
            langs=tuple(x for x, box in self.langs.items() if box.isChecked()),
            limit=self.limit.value(),
            count=self.count.value(),
            seed=self.seed.value(),
            steps=self.steps.value(),
            guidance=self.guidance.value(),
            against=self.against.value(),
            device=settings.device,
            dtype=settings.dtype,
        )

    def first_problem(self) -> QWidget | None:
        found = problem_of(self.model, self.loras)
        if found is not None:
            return found[0]
        return None if any(box.isChecked() for box in self.langs.values()) else self.langs["ja"]

    def ready(self) -> bool:
        return self.model.info() is not None and self.first_problem() is None

    def show_error(self, error: CommonArtError) -> bool:
        path = str(error.fields.get("path", ""))
        for field in (self.prompts, self.reference, self.against):
            if path and path == field.value():
                field.error.complain(error)
                field.field.setFocus()
                return True
        return False

    def validate(self) -> bool:
        """Whether the files are there; the first that is not is reported under its field."""
        for field, folder in ((self.prompts, None), (self.reference, True), (self.against, False)):
            path = Path(field.value())
            if field.value() and (not path.exists() or (folder is not None and path.is_dir() != folder)):
                why = Phrase("there is no such folder") if folder else Phrase("there is no such file")
                field.error.complain(BadFile(path=path, why=why))
                field.field.setFocus()
                return False
        return True

    def _on_changed(self, *_: object) -> None:
        none = not any(box.isChecked() for box in self.langs.values())
        self.langs_error.tell(self.tr("Choose at least one language.") if none else "")
        self.changed.emit()

    def _on_settings(self) -> None:
        """The model of the settings is followed until another one is chosen here."""
        if self.model.value() == self._followed:
            self.model.set_value(self._context.settings.now.model)
        self._followed = self._context.settings.now.model
