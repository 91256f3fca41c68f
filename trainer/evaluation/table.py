"""The table of an evaluation: values for Japanese, English and both, with intervals and numbers of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.contract.errors import Phrase
from engine.system.json_program import phrase
from trainer.evaluation import metrics
from trainer.evaluation.metrics import Array, Measurement
from trainer.evaluation.prompts import LANGS, Item

#: rows of a table, in their order, and whether more is better
MEASURES = {"top1": True, "top5": True, "clipscore": True, "cosine": True, "kid": False, "cmmd": False, "fid": False}


@dataclass(frozen=True)
class Scores:
    """Scores of each image.

    ``places``: rank by item (-1: names no concept); ``cosines``: by encoder (nan: unreadable image); ``rows``: by encoder,
    features and their items.
    """

    items: list[Item]
    places: Array
    cosines: dict[str, Array]
    rows: dict[str, tuple[Array, list[int]]]


def table_of(
    scores: Scores,
    references: dict[str, Array],
    langs: Sequence[str],
    tick: Callable[[int], None] | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One row per measure, encoder and language; ``both`` if there are two.

    Shares and scores of ``both`` are the mean of the two languages' means; distances of ``both`` are those of all images
    together. ``refused``: why there is no value.
    """
    rows: list[dict[str, Any]] = []
    groups = [(lang, [lang]) for lang in langs] + ([("both", list(langs))] if len(langs) > 1 else [])
    for name, of in groups:
        for measure, below in (("top1", 1), ("top5", 5)):
            shares = [(scores.places[(scores.places >= 0) & _in(scores, lang)] < below).astype(float) for lang in of]
            if all(len(s) for s in shares):
                rows.append({"measure": measure, "lang": name} | metrics.mean_of(shares, seed=seed).as_data())
        for encoder, cosines in scores.cosines.items():
            kept = [cosines[_in(scores, lang) & ~np.isnan(cosines)] for lang in of]
            if all(len(k) for k in kept):
                rows.append(
                    {"measure": "clipscore", "encoder": encoder, "lang": name}
                    | metrics.mean_of([metrics.clipscore(k) for k in kept], seed=seed).as_data()
                )
                rows.append(
                    {"measure": "cosine", "encoder": encoder, "lang": name} | metrics.mean_of(kept, seed=seed).as_data()
                )
        for encoder, reference in references.items():
            encoder_rows, indices = scores.rows[encoder]
            mine = encoder_rows[[scores.items[i].lang in of for i in indices]]
            rows += [{"encoder": encoder, "lang": name} | row for row in _distances(mine, reference, seed)]
            if tick:
                tick(1)
    order = {m: n for n, m in enumerate(MEASURES)}
    return sorted(rows, key=lambda r: (order[r["measure"]], r.get("encoder", ""), [*LANGS, "both"].index(r["lang"])))


def _in(scores: Scores, lang: str) -> Array:
    return np.array([i.lang == lang for i in scores.items], bool)


def _distances(mine: Array, reference: Array, seed: int) -> list[dict[str, Any]]:
    rows = []
    for name, measure, least in (
        ("kid", metrics.kid, metrics.LEAST_MMD),
        ("cmmd", metrics.cmmd, metrics.LEAST_MMD),
        ("fid", metrics.fid, metrics.LEAST_FID),
    ):
        row: dict[str, Any] = {"measure": name, "n": len(mine), "reference": len(reference)}
        if min(len(mine), len(reference)) < least:
            row["refused"] = phrase(
                Phrase(
                    "it needs {least} images on either side; there are {n} drawn and {reference} to compare with",
                    least=least,
                    n=len(mine),
                    reference=len(reference),
                )
            )
        else:
            value: Measurement = measure(mine, reference, seed=seed)
            row |= value.as_data()
        rows.append(row)
    return rows
