"""The figures of an evaluation: Japanese, English, and both together, each with its interval and number."""

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
    """What was found of each picture: ``places`` by item (-1: names no known thing), ``cosines`` by encoder (nan: not read),
    ``rows`` by encoder: features and the items they are of."""

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
    """One row a measure, encoder and language; ``both`` where there are two.

    Shares and scores of both languages are the mean of the two languages' means; distances of both are those of all pictures
    together. ``refused`` says why there is no value.
    """
    found: list[dict[str, Any]] = []
    groups = [(lang, [lang]) for lang in langs] + ([("both", list(langs))] if len(langs) > 1 else [])
    for name, of in groups:
        for measure, below in (("top1", 1), ("top5", 5)):
            shares = [(scores.places[(scores.places >= 0) & _in(scores, lang)] < below).astype(float) for lang in of]
            if all(len(s) for s in shares):
                found.append({"measure": measure, "lang": name} | metrics.mean_of(shares, seed=seed).as_data())
        for encoder, cosines in scores.cosines.items():
            kept = [cosines[_in(scores, lang) & ~np.isnan(cosines)] for lang in of]
            if all(len(k) for k in kept):
                found.append(
                    {"measure": "clipscore", "encoder": encoder, "lang": name}
                    | metrics.mean_of([metrics.clipscore(k) for k in kept], seed=seed).as_data()
                )
                found.append(
                    {"measure": "cosine", "encoder": encoder, "lang": name} | metrics.mean_of(kept, seed=seed).as_data()
                )
        for encoder, reference in references.items():
            rows, whose = scores.rows[encoder]
            mine = rows[[scores.items[i].lang in of for i in whose]]
            found += [{"encoder": encoder, "lang": name} | row for row in _distances(mine, reference, seed)]
            if tick:
                tick(1)
    order = {m: n for n, m in enumerate(MEASURES)}
    return sorted(found, key=lambda r: (order[r["measure"]], r.get("encoder", ""), [*LANGS, "both"].index(r["lang"])))


def _in(scores: Scores, lang: str) -> Array:
    return np.array([i.lang == lang for i in scores.items], bool)


def _distances(mine: Array, reference: Array, seed: int) -> list[dict[str, Any]]:
    found = []
    for name, measure, least in (
        ("kid", metrics.kid, metrics.LEAST_MMD),
        ("cmmd", metrics.cmmd, metrics.LEAST_MMD),
        ("fid", metrics.fid, metrics.LEAST_FID),
    ):
        told: dict[str, Any] = {"measure": name, "n": len(mine), "reference": len(reference)}
        if min(len(mine), len(reference)) < least:
            told["refused"] = phrase(
                Phrase(
                    "it needs {least} images on either side; there are {n} drawn and {reference} to compare with",
                    least=least,
                    n=len(mine),
                    reference=len(reference),
                )
            )
        else:
            value: Measurement = measure(mine, reference, seed=seed)
            told |= value.as_data()
        found.append(told)
    return found
