"""Compare two models that were evaluated with the same recipe, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainer.evaluation import metrics
from trainer.evaluation.encoders.base import Encoder
from trainer.evaluation.evaluate import Reference, Tick
from trainer.evaluation.metrics import Array
from trainer.evaluation.recipe import check_same, images_of_result, rows_of, scores_in
from trainer.evaluation.significance import Difference, paired, paired_mmd2
from trainer.evaluation.store import features_of
from trainer.evaluation.table import Scores

MOST_PAIRS = 4000  # the kernel matrix of both models' images is in memory; of more images, the first are taken


def compare(
    mine: dict[str, Any],
    scores: Scores,
    other: dict[str, Any],
    other_file: Path,
    encoders: Sequence[Encoder],
    reference: Reference | None,
    langs: Sequence[str],
    tick: Tick,
) -> dict[str, Any]:
    """Differences (mine minus the other's) with p-values.

    ``other_file`` is the other model's ``result.json``; its images are next to it, if they were kept. p-values are not
    corrected for multiple comparisons.

    Raises:
        RecipesDiffer
    """
    check_same(mine, other)
    theirs = scores_in(other)
    keys = [(i.lang, i.index, i.copy) for i in scores.items]
    differences: list[dict[str, Any]] = []
    groups = [(lang, [lang]) for lang in langs] + ([("both", list(langs))] if len(langs) > 1 else [])
    names = {
        e["name"]: next(x["name"] for x in other["encoders"] if x["sha256"] == e["sha256"]) for e in mine["encoders"]
    }

    def add(measure: str, lang: str, difference: Difference, encoder: str | None = None) -> None:
        differences.append(
            {"measure": measure, "lang": lang} | ({"encoder": encoder} if encoder else {}) | difference.as_data()
        )

    for name, of in groups:
        for measure, below in (("top1", 1), ("top5", 5)):
            both = [
                [
                    (p < below, theirs[k]["place"] < below)
                    for k, p in zip(keys, scores.places, strict=True)
                    if k[0] == lang and p >= 0 and k in theirs and theirs[k]["place"] is not None
                ]
                for lang in of
            ]
            if all(both):
                add(measure, name, paired(*_columns(both)))
        for encoder, cosines in scores.cosines.items():
            both = [
                [
                    (round(float(c), 6), theirs[k]["cosines"][names[encoder]])
                    for k, c in zip(keys, cosines, strict=True)
                    if k[0] == lang
                    and not np.isnan(c)
                    and theirs.get(k, {}).get("cosines", {}).get(names[encoder]) is not None
                ]
                for lang in of
            ]
            if all(both):
                a, b = _columns(both)
                add(
                    "clipscore",
                    name,
                    paired([metrics.clipscore(x) for x in a], [metrics.clipscore(x) for x in b]),
                    encoder,
                )
    files = images_of_result(other_file, scores.items)
    if reference and files:
        for encoder_ in encoders:
            extracted = features_of(files, encoder_, tick)
            where = {f: n for n, f in enumerate(files)}
            indices = [where[f] for f in extracted.files]
            rows, mine_of = scores.rows[encoder_.name]
            for name, of in groups:
                order = [i for i in mine_of if i in set(indices) and scores.items[i].lang in of][:MOST_PAIRS]
                if len(order) < metrics.LEAST_MMD:
                    continue
                x, y, r = (
                    rows_of(rows, mine_of, order),
                    rows_of(extracted.rows, indices, order),
                    reference.rows[encoder_.name],
                )
                add("kid", name, paired_mmd2(x, y, r, metrics.polynomial), encoder_.name)
                gap = paired_mmd2(metrics.unit(x), metrics.unit(y), metrics.unit(r), metrics.gaussian)
                add("cmmd", name, Difference(gap.value * metrics.CMMD_SCALE, gap.p, gap.n), encoder_.name)
    loras = other["model"].get("loras")
    loras = [
        {"name": str(x["name"]), "scale": float(x["scale"])}
        for x in (loras if isinstance(loras, list) else [])
        if isinstance(x, dict) and "name" in x and isinstance(x.get("scale"), (int, float))
    ]
    return {
        "model": other["model"]["name"],
        "loras": loras,
        "differences": differences,
        "table": other["table"],
        "pictures": files is not None,
    }


def _columns(both: list[list[tuple[Any, Any]]]) -> tuple[list[Array], list[Array]]:
    return [np.array([p[0] for p in g], float) for g in both], [np.array([p[1] for p in g], float) for g in both]
