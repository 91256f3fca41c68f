"""Graphs compared with PyTorch as rows of a table: one row per graph and set of shapes."""

from __future__ import annotations

from PySide6.QtCore import QObject

from commonart_desktop.gui.pages.export.report import Case, Report
from commonart_desktop.gui.widgets.cell_table import Cell

PART, SHAPES, LARGEST, RMS, BOUNDS, RESULT = range(6)
TEXT_COLUMNS = (PART, SHAPES, RESULT)


def figure(value: float | None) -> str:
    """An error as people compare them: 3.2e-06. An immense value stands for no comparison at all."""
    return "–" if value is None else "∞" if value >= 1e9 else f"{value:.1e}" if value else "0"


class CaseLabels(QObject):
    """Names of parts, columns and outcomes in the user's language."""

    def __init__(self) -> None:
        super().__init__()
        self._parts = {
            "text_encoder": self.tr("Text encoder"),
            "transformer": self.tr("Denoiser"),
            "vae_decoder": self.tr("VAE decoder"),
            "vae_encoder": self.tr("VAE encoder"),
        }
        self._outcomes = {
            True: Cell(self.tr("within"), icon="done"),
            False: Cell(self.tr("missed"), icon="failed"),
            None: Cell(self.tr("not reached"), icon="waiting"),
        }
        self._titles = (
            Cell(self.tr("Part")),
            Cell(self.tr("Shapes")),
            Cell(self.tr("Largest"), self.tr("Largest error, relative to the largest value")),
            Cell(self.tr("RMS"), self.tr("RMS error, relative to the RMS of PyTorch's values")),
            Cell(self.tr("Bounds"), self.tr("What the largest and the RMS error may be at most")),
            Cell(self.tr("Result")),
        )

    def part(self, part: str) -> str:
        return self._parts.get(part, part)

    def table(self, report: Report) -> tuple[tuple[Cell, ...], list[list[Cell]]]:
        """The header and the rows of a report."""
        mixed = len({c.dtype for c in report.cases if c.dtype}) > 1
        return self._titles, [self._row(case, case.dtype if mixed else "") for case in report.cases]

    def _row(self, case: Case, dtype: str) -> list[Cell]:
        known = case.bound_rms is not None and case.bound_max is not None
        shapes = "\n".join(f"{name}: {' × '.join(map(str, sides))}" for name, sides in case.shapes)
        return [
            Cell(f"{self.part(case.part)} {dtype}".strip()),
            Cell("  ".join("×".join(map(str, sides)) for _, sides in case.shapes) or "–", shapes),
            Cell(figure(case.max), self._titles[LARGEST].tip),
            Cell(figure(case.rms), self._titles[RMS].tip),
            Cell(f"{case.bound_max:.0e} / {case.bound_rms:.0e}" if known else "–", self._titles[BOUNDS].tip),
            self._outcomes[case.good],
        ]
