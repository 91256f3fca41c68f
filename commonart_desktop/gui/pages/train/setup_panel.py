"""What to learn and how: the few choices that matter, the others under "More"; all as one readable TOML file."""

from __future__ import annotations

import json
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
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
from commonart_desktop.gui.pages.train.advanced_panel import AdvancedPanel
from commonart_desktop.gui.pages.train.fields import combo, form_layout, parse_rate, read_draft, write_draft
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint, WheelGuard, column, row

DRAFT = "train/draft"  # in context.state


class SetupPanel(QWidget):
    """``choices`` is what is in the fields. ``config_wanted`` asks to write the configuration and open it."""

    changed = Signal()
    config_wanted = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._wanted_model = ""
        self._create_fields()
        self.advanced = AdvancedPanel()
        self.problems = {key: FieldHint() for key in ("name", "lr", "model")}
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
        self._draft: dict[str, QWidget] = {
            "kind": self.kind,
            "preset": self.preset,
            "name": self.name,
            "trigger": self.trigger,
            "steps": self.steps,
            "lr": self.lr,
            "batch": self.batch,
            "resolution": self.resolution,
            "prompts": self.prompts,
        } | self.advanced.fields
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

    def _create_fields(self) -> None:
        self.model = QComboBox(accessibleName=self.tr("Base model"), minimumContentsLength=16)
        self.kind = combo(
            self.tr("Learn"),
            (("lora", self.tr("LoRA: a small addition to the base model")), ("full", self.tr("complete model"))),
        )
        self.preset = combo(
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
            accessibleName=self.tr("Images per step"), maximum=65536, specialValueText=self.tr("by the preset")
        )
        self.resolution = QSpinBox(
            accessibleName=self.tr("Resolution"),
            maximum=8192,
            singleStep=64,
            suffix=" px",
            specialValueText=self.tr("the model's own"),
        )
        self.prompts = QPlainTextEdit(
            accessibleName=self.tr("Prompts of the previews"),
            tabChangesFocus=True,
            placeholderText=self.tr("One prompt per line"),
        )
        self.prompts.setFixedHeight(self.prompts.fontMetrics().lineSpacing() * 3 + SPACE["l"])

    def _lay_out(self) -> None:
        upper = QWidget()
        form = form_layout(upper)
        for field, problem in (
            (self.model, "model"),
            (self.kind, ""),
            (self.preset, ""),
            (self.name, "name"),
            (self.trigger, ""),
            (self.steps, ""),
            (self.lr, "lr"),
            (self.batch, ""),
            (self.resolution, ""),
            (self.prompts, ""),
        ):
            if problem:
                form.addRow(field.accessibleName(), column(field, self.problems[problem]))
            else:
                form.addRow(field.accessibleName(), field)
        note = QLabel(
            self.tr(
                "What is left to the preset follows it. A preset says what fits the memory of a GPU for CommonArt β at "
                "512 px."
            ),
            wordWrap=True,
        )
        note.setProperty("role", "hint")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(SPACE["m"])
        outer.addWidget(upper)
        outer.addWidget(note)
        outer.addWidget(row(QWidget(), self.more, self.config))
        outer.addWidget(self.advanced)
        outer.addStretch()

    def _show_more(self, on: bool) -> None:
        self.advanced.setVisible(on)
        self.more.setIcon(icon("unfolded" if on else "folded"))
        self.more.setText(self.tr("Less") if on else self.tr("More"))

    # values -----------------------------------------------------------------------------------------------------------

    def load_models(self) -> None:
        """List the models of this machine, once."""
        if self.model.count() == 0:
            Task(
                self,
                lambda task: task.program("engine.checkpoint", ["list"])["models"],
                done=self._on_models,
                failed=lambda e: self.problems["model"].complain(e),
            )

    def _on_models(self, models: list[dict[str, Any]]) -> None:
        good = [m for m in models if m["ok"]]
        for one in good:
            self.model.addItem(one["name"], one["path"])
            self.model.setItemData(self.model.count() - 1, one["path"], Qt.ItemDataRole.ToolTipRole)
        wanted = self._wanted_model or self._context.settings.now.model
        at = next((n for n, m in enumerate(good) if wanted in (m["path"], m["name"])), 0)
        self.model.setCurrentIndex(at if good else -1)
        self.problems["model"].tell(
            "" if good else self.tr("There is no model that can be trained. Get one on the Models page.")
        )
        self._on_change()

    def choices(self, dataset: str, policy: str) -> Choices:
        """As ``core.train_config`` writes them."""
        values = read_draft(self._draft)
        return Choices(
            name=values["name"].strip(),
            dataset=dataset,
            policy=policy,
            model=str(self.model.currentData() or ""),
            kind=values["kind"],
            preset=values["preset"],
            trigger=values["trigger"].strip(),
            steps=values["steps"],
            lr=parse_rate(values["lr"]) or 0.0,
            batch=values["batch"],
            resolution=values["resolution"],
            prompts=tuple(t.strip() for t in values["prompts"].splitlines() if t.strip()),
            device=self._context.settings.now.device,
            **self.advanced.choices(values),
        )

    def problem(self) -> QWidget | None:
        """The first field to correct; what is wrong is shown under it."""
        self._on_change(strict=True)
        for field, name in ((self.model, "model"), (self.name, "name"), (self.lr, "lr")):
            if self.problems[name].text():
                return field
        return None

    def _on_change(self, *, strict: bool = False) -> None:
        lora = self.kind.currentData() == "lora"
        self.advanced.show_lora(lora)
        self.trigger.setEnabled(lora)
        name = self.name.text().strip()
        bad = any(c in name for c in '<>:"/\\|?*') or name.startswith(".")
        self.problems["name"].tell(
            self.tr("It becomes a file's name: without / \\ : * ? \" < > | and not beginning with a dot.")
            if bad
            else self.tr("Give the result a name.")
            if strict and not name
            else ""
        )
        self.problems["lr"].tell(
            "" if parse_rate(self.lr.text()) is not None else self.tr("A number above 0, such as 1e-4 or 0.0001.")
        )
        if strict and not self.model.currentData():
            self.problems["model"].tell(self.tr("Choose the model to start from."))
        elif self.model.currentData():
            self.problems["model"].tell("")
        self.changed.emit()

    # drafts -----------------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Store the draft."""
        values = read_draft(self._draft) | {
            "model": str(self.model.currentData() or self._wanted_model),
            "more": self.more.isChecked(),
        }
        self._context.state.setValue(DRAFT, json.dumps(values, ensure_ascii=False))

    def _restore(self) -> None:
        try:
            values = json.loads(str(self._context.state.value(DRAFT, "{}")))
        except ValueError:
            return
        if isinstance(values, dict) and values:
            write_draft(self._draft, values)
            self.more.setChecked(bool(values.get("more")))
            self._wanted_model = str(values.get("model", ""))
