"""What to learn and how: the few choices that matter, the others under "More"; all as one TOML that can be read by hand."""

from __future__ import annotations

import json
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.core.train_config import Choices
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint, WheelGuard, column, row

DRAFT = "train/draft"  # in context.state


def read_rate(text: str) -> float | None:
    """A learning rate as people write it; 0 for empty text, None for what is none."""
    if not text.strip():
        return 0.0
    try:
        value = float(text.replace(",", ".").strip())
    except ValueError:
        return None
    return value if 0 < value <= 10 else None


class SetupPanel(QWidget):
    """``choices`` is what is in the fields. ``config_wanted`` asks to write the configuration and open it."""

    changed = Signal()
    config_wanted = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._wanted_model = ""
        self._sides: dict[str, int] = {}
        self.model = QComboBox(accessibleName=self.tr("Base model"), minimumContentsLength=16)
        self.kind = self._combo(
            self.tr("Learn"),
            (("lora", self.tr("LoRA: a small addition to the base model")), ("full", self.tr("whole model"))),
        )
        self.preset = self._combo(
            self.tr("Memory preset"),
            (("", self.tr("none")), ("train-8gb", "8 GB"), ("train-16gb", "16 GB"), ("train-24gb", "24 GB")),
        )
        self.name = QLineEdit(accessibleName=self.tr("Name of the result"), maxLength=80)
        self.trigger = QLineEdit(
            accessibleName=self.tr("Trigger word"),
            placeholderText=self.tr("none"),
            toolTip=self.tr("A word put before every caption. In a prompt it then calls what was learned."),
        )
        self.steps = QSpinBox(
            accessibleName=self.tr("Steps"),
            minimum=1,
            maximum=100_000_000,
            value=1000,
            groupSeparatorShown=True,
            singleStep=100,
        )
        self.lr = QLineEdit(accessibleName=self.tr("Learning rate"), placeholderText="1e-4")
        self.batch = QSpinBox(
            accessibleName=self.tr("Pictures a step"),
            minimum=0,
            maximum=65536,
            specialValueText=self.tr("by the preset"),
        )
        self.resolution = QSpinBox(
            accessibleName=self.tr("Resolution"),
            minimum=0,
            maximum=8192,
            singleStep=64,
            suffix=" px",
            specialValueText=self.tr("the model's own"),
        )
        self.prompts = QPlainTextEdit(
            accessibleName=self.tr("Prompts of the previews"),
            tabChangesFocus=True,
            placeholderText=self.tr("One prompt a line"),
        )
        self.prompts.setFixedHeight(self.prompts.fontMetrics().lineSpacing() * 3 + SPACE["l"])
        self.under = {key: FieldHint() for key in ("name", "lr", "model")}
        self.rank = QSpinBox(
            accessibleName=self.tr("Rank"), minimum=0, maximum=1024, specialValueText=self.tr("by the preset")
        )
        self.alpha = QDoubleSpinBox(
            accessibleName=self.tr("Alpha"),
            minimum=0,
            maximum=4096,
            decimals=1,
            specialValueText=self.tr("like the rank"),
        )
        self.layers = self._combo(
            self.tr("Layers"),
            (
                ("attention", self.tr("attention")),
                ("blocks", self.tr("attention and feed-forward: learns more")),
                ("cross", self.tr("only what reads the prompt: learns less")),
            ),
        )
        self.japanese = self._share(
            self.tr("Japanese captions"),
            50,
            self.tr("Share of Japanese where a picture has captions in both languages"),
        )
        self.dropout = self._share(
            self.tr("Without caption"), 10, self.tr("Share shown without its caption, so that guidance works")
        )
        self.flip = self._share(self.tr("Mirrored"), 0, self.tr("Share shown mirrored"))
        self.heldout = self._share(
            self.tr("Held out"),
            5,
            self.tr("Share that is not learned from, to see whether pictures are learned by heart"),
            most=50,
        )
        self.optimiser = self._combo(
            self.tr("Optimiser"), (("", "AdamW"), ("adamw8bit", self.tr("AdamW, 8 bit")), ("came", "CAME"))
        )
        self.schedule = self._combo(
            self.tr("Learning rate over time"),
            (
                ("cosine", self.tr("falling as a cosine")),
                ("constant", self.tr("constant")),
                ("linear", self.tr("falling evenly")),
            ),
        )
        self.warmup = QSpinBox(
            accessibleName=self.tr("Warm-up steps"), maximum=1_000_000, value=50, groupSeparatorShown=True
        )
        self.ema = QCheckBox(self.tr("Average the weights over time (EMA)"))
        self.best = QCheckBox(self.tr("Take the result from the checkpoint with the lowest held-out loss"))
        self.dtype = self._combo(
            self.tr("Precision"), (("", self.tr("automatic")), ("bf16", "bf16"), ("fp16", "fp16"), ("fp32", "fp32"))
        )
        self.every = QSpinBox(
            accessibleName=self.tr("Checkpoint every"),
            maximum=100_000_000,
            specialValueText=self.tr("automatic"),
            groupSeparatorShown=True,
        )
        self.seed = QSpinBox(accessibleName=self.tr("Seed"), maximum=2**31 - 1)
        self.more = QToolButton(
            text=self.tr("More"),
            icon=icon("folded"),
            checkable=True,
            toolButtonStyle=Qt.ToolButtonStyle.ToolButtonTextBesideIcon,
        )
        self.config = QPushButton(
            icon("make"),
            self.tr("Open the config"),
            toolTip=self.tr("Write the configuration file and open it for editing"),
            clicked=lambda: self.config_wanted.emit(),
        )
        self._lay_out()
        self.guard = WheelGuard(self)
        self.guard.watch(self)
        for signal in (
            self.model.activated,
            self.kind.activated,
            self.name.textChanged,
            self.lr.textChanged,
            self.preset.activated,
        ):
            signal.connect(lambda *_: self._on_change())
        self.more.toggled.connect(self._show_more)
        self._show_more(False)
        self._restore()
        self._on_change()

    @staticmethod
    def _combo(name: str, entries: tuple[tuple[str, str], ...]) -> QComboBox:
        box = QComboBox(accessibleName=name)
        for key, text in entries:
            box.addItem(text, key)
        return box

    @staticmethod
    def _share(name: str, value: int, tip: str, most: int = 100) -> QSpinBox:
        return QSpinBox(accessibleName=name, maximum=most, value=value, suffix=" %", toolTip=tip)

    def _form(self) -> tuple[QWidget, QFormLayout]:
        whole = QWidget()
        form = QFormLayout(
            whole,
            horizontalSpacing=SPACE["l"],
            verticalSpacing=SPACE["s"],
            rowWrapPolicy=QFormLayout.RowWrapPolicy.WrapLongRows,
            fieldGrowthPolicy=QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow,
        )
        form.setContentsMargins(0, 0, 0, 0)
        return whole, form

    def _lay_out(self) -> None:
        upper, form = self._form()
        for name, field in (
            (self.model.accessibleName(), column(self.model, self.under["model"])),
            (self.kind.accessibleName(), self.kind),
            (self.preset.accessibleName(), self.preset),
            (self.name.accessibleName(), column(self.name, self.under["name"])),
            (self.trigger.accessibleName(), self.trigger),
            (self.steps.accessibleName(), self.steps),
            (self.lr.accessibleName(), column(self.lr, self.under["lr"])),
            (self.batch.accessibleName(), self.batch),
            (self.resolution.accessibleName(), self.resolution),
            (self.prompts.accessibleName(), self.prompts),
        ):
            form.addRow(name, field)
        self.rest, lower = self._form()
        self._lora = (self.rank, self.alpha, self.layers)
        for field in (
            *self._lora,
            self.japanese,
            self.dropout,
            self.flip,
            self.heldout,
            self.optimiser,
            self.schedule,
            self.warmup,
            self.dtype,
            self.every,
            self.seed,
        ):
            lower.addRow(field.accessibleName(), field)
        lower.addRow("", self.ema)
        lower.addRow("", self.best)
        self._lower = lower
        note = QLabel(
            self.tr(
                "What is left to the preset follows it. A preset says what fits the memory of a GPU for CommonArt β at 512 px."
            ),
            wordWrap=True,
        )
        note.setProperty("role", "hint")
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(SPACE["m"])
        whole.addWidget(upper)
        whole.addWidget(note)
        line = row(QWidget(), self.more, self.config)
        whole.addWidget(line)
        whole.addWidget(self.rest)
        whole.addStretch()

    def _show_more(self, on: bool) -> None:
        self.rest.setVisible(on)
        self.more.setIcon(icon("unfolded" if on else "folded"))
        self.more.setText(self.tr("Less") if on else self.tr("More"))

    # values -------------------------------------------------------------------------------------------------------

    def load_models(self) -> None:
        """Ask for the models of this machine, once."""
        if self.model.count() == 0:
            Task(
                self,
                lambda task: task.program("engine.checkpoint", ["list"])["models"],
                done=self._on_models,
                failed=lambda e: self.under["model"].complain(e),
            )

    def _on_models(self, models: list[dict[str, Any]]) -> None:
        good = [m for m in models if m["ok"]]
        for one in good:
            self._sides[one["path"]] = int(one.get("own_side") or 0)
            self.model.addItem(one["name"], one["path"])
            self.model.setItemData(self.model.count() - 1, one["path"], Qt.ItemDataRole.ToolTipRole)
        wanted = self._wanted_model or self._context.settings.now.model
        at = next((n for n, m in enumerate(good) if wanted in (m["path"], m["name"])), 0)
        self.model.setCurrentIndex(at if good else -1)
        self.under["model"].tell(
            "" if good else self.tr("There is no model that can be trained. Get one on the Models page.")
        )
        self._on_change()

    def choices(self, dataset: str, policy: str) -> Choices:
        """As ``core.train_config`` writes them."""
        text = [t.strip() for t in self.prompts.toPlainText().splitlines() if t.strip()]
        return Choices(
            name=self.name.text().strip(),
            dataset=dataset,
            policy=policy,
            model=str(self.model.currentData() or ""),
            kind=self.kind.currentData(),
            preset=self.preset.currentData(),
            trigger=self.trigger.text().strip(),
            steps=self.steps.value(),
            lr=read_rate(self.lr.text()) or 0.0,
            batch=self.batch.value(),
            resolution=self.resolution.value(),
            prompts=tuple(text),
            rank=self.rank.value(),
            alpha=self.alpha.value(),
            layers=self.layers.currentData(),
            japanese=self.japanese.value() / 100,
            dropout=self.dropout.value() / 100,
            flip=self.flip.value() / 100,
            heldout=self.heldout.value() / 100,
            optimiser=self.optimiser.currentData(),
            schedule=self.schedule.currentData(),
            warmup=self.warmup.value(),
            ema=0.999 if self.ema.isChecked() else 0.0,
            dtype=self.dtype.currentData(),
            device=self._context.settings.now.device,
            seed=self.seed.value(),
            result="best" if self.best.isChecked() else "last",
            checkpoints=self.every.value(),
        )

    def problem(self) -> QWidget | None:
        """The field to put right first; what is wrong stands under it."""
        self._on_change(strict=True)
        for field, under in ((self.model, "model"), (self.name, "name"), (self.lr, "lr")):
            if self.under[under].text():
                return field
        return None

    def _on_change(self, *, strict: bool = False) -> None:
        for widget in self._lora:
            self._lower.setRowVisible(widget, self.kind.currentData() == "lora")
        name = self.name.text().strip()
        bad = any(c in name for c in '<>:"/\\|?*') or name.startswith(".")
        self.under["name"].tell(
            self.tr("It becomes a file's name: without / \\ : * ? \" < > | and not beginning with a dot.")
            if bad
            else self.tr("Give the result a name.")
            if strict and not name
            else ""
        )
        self.under["lr"].tell(
            "" if read_rate(self.lr.text()) is not None else self.tr("A number above 0, such as 1e-4 or 0.0001.")
        )
        if strict and not self.model.currentData():
            self.under["model"].tell(self.tr("Choose the model to start from."))
        elif self.model.currentData():
            self.under["model"].tell("")
        self.trigger.setEnabled(self.kind.currentData() == "lora")
        self.changed.emit()

    # drafts -------------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Store the draft."""
        values = {
            "model": str(self.model.currentData() or self._wanted_model),
            "name": self.name.text(),
            "trigger": self.trigger.text(),
            "lr": self.lr.text(),
            "prompts": self.prompts.toPlainText(),
            "more": self.more.isChecked(),
            "ema": self.ema.isChecked(),
            "best": self.best.isChecked(),
        }
        values |= {
            k: getattr(self, k).currentData() for k in ("kind", "preset", "layers", "optimiser", "schedule", "dtype")
        }
        values |= {k: getattr(self, k).value() for k in self._numbers}
        self._context.state.setValue(DRAFT, json.dumps(values, ensure_ascii=False))

    _numbers = (
        "steps",
        "batch",
        "resolution",
        "rank",
        "alpha",
        "japanese",
        "dropout",
        "flip",
        "heldout",
        "warmup",
        "every",
        "seed",
    )

    def _restore(self) -> None:
        try:
            values = json.loads(str(self._context.state.value(DRAFT, "{}")))
            for key in ("name", "trigger", "lr"):
                getattr(self, key).setText(str(values.get(key, "")))
            self.prompts.setPlainText(str(values.get("prompts", "")))
            for key in ("kind", "preset", "layers", "optimiser", "schedule", "dtype"):
                box = getattr(self, key)
                box.setCurrentIndex(max(0, box.findData(values.get(key))))
            for key in self._numbers:
                if isinstance(values.get(key), (int, float)):
                    field = getattr(self, key)
                    field.setValue(min(values[key], field.maximum()))
            self.ema.setChecked(bool(values.get("ema")))
            self.best.setChecked(bool(values.get("best")))
            self.more.setChecked(bool(values.get("more")))
            self._wanted_model = str(values.get("model", ""))
        except (ValueError, TypeError, AttributeError):
            pass  # an old draft of another kind
