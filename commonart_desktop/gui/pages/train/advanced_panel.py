"""The settings of a training under "More"."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QCheckBox, QDoubleSpinBox, QSpinBox, QWidget

from commonart_desktop.gui.pages.train.fields import combo, form_layout, percentage


class AdvancedPanel(QWidget):
    """``fields`` by name, as in ``core.train_config.Choices`` but for percentages and check boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.rank = QSpinBox(accessibleName=self.tr("Rank"), maximum=1024, specialValueText=self.tr("by the preset"))
        self.alpha = QDoubleSpinBox(
            accessibleName=self.tr("Alpha"), maximum=4096, decimals=1, specialValueText=self.tr("like the rank")
        )
        self.layers = combo(
            self.tr("Layers"),
            (
                ("attention", self.tr("attention")),
                ("blocks", self.tr("attention and feed-forward: learns more")),
                ("cross", self.tr("only what reads the prompt: learns less")),
            ),
        )
        japanese = self.tr("Share of Japanese where an image has captions in both languages")
        dropout = self.tr("Share shown without its caption, so that guidance works")
        heldout = self.tr("Share that is not learned from, to see whether images are memorized")
        self.fields: dict[str, QWidget] = {
            "rank": self.rank,
            "alpha": self.alpha,
            "layers": self.layers,
            "japanese": percentage(self.tr("Japanese captions"), 50, japanese),
            "dropout": percentage(self.tr("Without caption"), 10, dropout),
            "flip": percentage(self.tr("Mirrored"), 0, self.tr("Share shown mirrored")),
            "heldout": percentage(self.tr("Held out"), 5, heldout, maximum=50),
            "optimiser": combo(
                self.tr("Optimiser"), (("", "AdamW"), ("adamw8bit", self.tr("AdamW, 8 bit")), ("came", "CAME"))
            ),
            "schedule": combo(
                self.tr("Learning rate over time"),
                (
                    ("cosine", self.tr("falling as a cosine")),
                    ("constant", self.tr("constant")),
                    ("linear", self.tr("falling evenly")),
                ),
            ),
            "warmup": QSpinBox(
                accessibleName=self.tr("Warm-up steps"), maximum=1_000_000, value=50, groupSeparatorShown=True
            ),
            "dtype": combo(
                self.tr("Precision"), (("", self.tr("automatic")), ("bf16", "bf16"), ("fp16", "fp16"), ("fp32", "fp32"))
            ),
            "every": QSpinBox(
                accessibleName=self.tr("Checkpoint every"),
                maximum=100_000_000,
                specialValueText=self.tr("automatic"),
                groupSeparatorShown=True,
            ),
            "seed": QSpinBox(accessibleName=self.tr("Seed"), maximum=2**31 - 1),
        }
        self._form = form_layout(self)
        for field in self.fields.values():
            self._form.addRow(field.accessibleName(), field)
        for name, box in (
            ("ema", QCheckBox(self.tr("Average the weights over time (EMA)"))),
            ("best", QCheckBox(self.tr("Take the result from the checkpoint with the lowest held-out loss"))),
        ):
            self.fields[name] = box
            self._form.addRow("", box)

    def show_lora(self, on: bool) -> None:
        """Whether the settings of a LoRA are shown."""
        for field in (self.rank, self.alpha, self.layers):
            self._form.setRowVisible(field, on)

    @staticmethod
    def choices(values: dict[str, Any]) -> dict[str, Any]:
        """The arguments of ``Choices`` for the values of the fields."""
        same = ("rank", "alpha", "layers", "optimiser", "schedule", "warmup", "dtype", "seed")
        shares = ("japanese", "dropout", "flip", "heldout")
        return (
            {name: values[name] for name in same}
            | {name: values[name] / 100 for name in shares}
            | {
                "ema": 0.999 if values["ema"] else 0.0,
                "result": "best" if values["best"] else "last",
                "checkpoints": values["every"],
            }
        )
