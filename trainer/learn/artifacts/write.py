"""Write the files that accompany trained weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.contract.files import replacing
from trainer.learn.artifacts.lineage import ATTRIBUTION, BOM, CARD, CONFIG, GATE_REPORT, Lineage


def write_beside(folder: Path, lineage: Lineage, weights: list[Path]) -> list[Path]:
    """Gate report, attribution, config, model card and bill of materials into the result's folder; returns their paths.

    With several datasets the reports are numbered (``gate-report-2.json``).

    Raises:
        DiskFull, OutputFolder
    """
    from trainer.learn.artifacts.bom import bill_of_materials
    from trainer.learn.artifacts.model_card import model_card

    written = []
    for n, source in enumerate(lineage.sources, 1):
        for what, name in ((source.gate_report, GATE_REPORT), (source.attribution, ATTRIBUTION)):
            target = folder / (name if n == 1 else f"{Path(name).stem}-{n}{Path(name).suffix}")
            if what.resolve() != target.resolve():
                with replacing(target) as f, what.open("rb") as original:
                    shutil.copyfileobj(original, f)
            written.append(target)
    for name, text in (
        (CONFIG, lineage.config),
        (CARD, model_card(lineage, weights)),
        (BOM, bill_of_materials(lineage, weights)),
    ):
        with replacing(folder / name) as f:
            f.write(text.encode("utf-8"))
        written.append(folder / name)
    return written
