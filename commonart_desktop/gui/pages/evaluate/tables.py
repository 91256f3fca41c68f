"""An evaluation's figures as tables: the two-language table, and the differences from an earlier report."""

from __future__ import annotations

from PySide6.QtCore import QObject

from commonart_desktop.gui.pages.evaluate.report import Figure, Report
from commonart_desktop.gui.widgets.cell_table import Cell

LESS_IS_BETTER = ("kid", "cmmd", "fid")


class MetricLabels(QObject):
    """Names and meanings of the measures in the user's language."""

    def __init__(self) -> None:
        super().__init__()
        self.langs = {"ja": self.tr("Japanese"), "en": self.tr("English"), "both": self.tr("Both")}
        self._names = {
            "top1": self.tr("Top-1"),
            "top5": self.tr("Top-5"),
            "clipscore": "CLIPScore",
            "cosine": self.tr("Cosine"),
        }
        self.meanings = {
            "top1": self.tr(
                "Share of prompts naming one known concept whose image is nearest to a true drawing of it. More is better. "
                "It says nothing about other concepts."
            ),
            "top5": self.tr("Share of prompts whose concept is among the five nearest. More is better."),
            "clipscore": self.tr(
                "How well image and prompt agree for this encoder, 2.5 times the cosine. More is better. "
                "Scores of different encoders cannot be compared."
            ),
            "cosine": self.tr("The agreement of image and prompt itself, from -1 to 1. More is better."),
            "kid": self.tr(
                "Distance to your reference images in this encoder, without bias. 0 is none; less is better."
            ),
            "cmmd": self.tr(
                "Distance to your reference images in this encoder, with fewer assumptions than FID. 0 is none; less is "
                "better."
            ),
            "fid": self.tr(
                "An older distance to your reference images that depends on how many there are. Less is better."
            ),
        }

    def measure(self, name: str, encoder: str) -> str:
        return self._names.get(name, name.upper()) + (f" [{encoder}]" if encoder else "")

    @staticmethod
    def figure(measure: str, value: float) -> str:
        """Shares in per cent, the rest with as many digits as mean something."""
        return (
            f"{100 * value:.1f} %"
            if measure in ("top1", "top5")
            else f"{value:.5f}"
            if measure == "kid"
            else f"{value:.3f}"
        )

    def interval(self, measure: str, low: float | None, high: float | None) -> str:
        if low is None or high is None:
            return "–"
        return f"{self.figure(measure, low).removesuffix(' %')} – {self.figure(measure, high)}"

    def cell(self, figure: Figure | None) -> Cell:
        if figure is None:
            return Cell("–")
        if figure.refused or figure.value is None:
            return Cell("–", figure.refused)
        number = f"{figure.n} / {figure.reference}" if figure.reference else str(figure.n)
        tip = self.tr("95 % interval over prompts and seeds: {interval}. From {n} images.").format(
            interval=self.interval(figure.measure, figure.low, figure.high), n=figure.n
        )
        if figure.reference:
            tip = self.tr(
                "95 % interval over prompts and seeds: {interval}. From {n} images against {reference}."
            ).format(
                interval=self.interval(figure.measure, figure.low, figure.high), n=figure.n, reference=figure.reference
            )
        interval = self.interval(figure.measure, figure.low, figure.high)
        return Cell(f"{self.figure(figure.measure, figure.value)}\n({interval})\nn {number}", tip)

    def table(self, report: Report) -> tuple[list[Cell], list[list[Cell]]]:
        """Titles and rows of the two-language table."""
        by = {(f.measure, f.encoder, f.lang): f for f in report.figures}
        keys = dict.fromkeys((f.measure, f.encoder) for f in report.figures)
        rows = [
            [Cell(self.measure(m, e), self.meanings[m]), *(self.cell(by.get((m, e, x))) for x in report.langs())]
            for m, e in keys
        ]
        return [Cell(self.tr("Figure")), *(Cell(self.langs[x]) for x in report.langs())], rows

    def differences(self, report: Report) -> tuple[list[Cell], list[list[Cell]]]:
        """Titles and rows of the comparison."""
        tip = self.tr(
            "How often chance alone would give a difference this large. Below 0.05 is called significant; of twenty, one "
            "is so by chance."
        )
        rows = []
        for d in report.differences:
            good = (d.value < 0) if d.measure in LESS_IS_BETTER else (d.value > 0)
            means = self.tr("no clear difference") if d.p >= 0.05 else self.tr("better") if good else self.tr("worse")
            interval = f"\n({self.interval(d.measure, d.low, d.high)})" if d.low is not None else ""
            rows.append(
                [
                    Cell(self.measure(d.measure, d.encoder), self.meanings[d.measure]),
                    Cell(self.langs[d.lang]),
                    Cell(self.figure(d.measure, d.value) + interval),
                    Cell(f"{d.p:.4f}", tip),
                    Cell(str(d.n)),
                    Cell(means),
                ]
            )
        titles = (self.tr("Figure"), self.tr("Language"), self.tr("Difference"), "p", "n", self.tr("Verdict"))
        return [Cell(title) for title in titles], rows

    def refusals(self, report: Report) -> list[str]:
        """What could not be measured and why, each once."""
        last = report.langs()[-1] if report.langs() else ""
        return list(
            dict.fromkeys(
                self.tr("No {measure}: {why}.").format(measure=self.measure(f.measure, f.encoder), why=f.refused)
                for f in report.figures
                if f.refused and f.lang == last
            )
        )
