"""Choosing LoRAs that are merged into an export or an evaluation."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from commonart_desktop.gui.widgets.lora_field import LoraField
from commonart_desktop.gui.widgets.model_field import ExportModels
from engine.contract.errors import CommonArtError


class ExportLoras(LoraField):
    """LoRAs that are merged into the graphs; there is no other way here."""

    def _show_rows(self) -> None:
        super()._show_rows()
        self.merged.hide()


def problem_of(models: ExportModels, loras: LoraField) -> tuple[QWidget, CommonArtError] | None:
    """The field to correct before anything can be exported."""
    for field, problem in ((models.combo, models.problem()), (loras.combo, loras.problem())):
        if problem is not None:
            return field, problem
    return None
