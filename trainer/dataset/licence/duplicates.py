"""Gate rules about identical and similar images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.contract.errors import Phrase
from trainer.dataset.licence.facts_cache import FactsCache
from trainer.dataset.licence.perceptual_hash import similar_pairs
from trainer.dataset.licence.policy import Policy
from trainer.dataset.licence.report import Finding
from trainer.dataset.licence.rules import EvaluatedRecord
from trainer.dataset.tree import FileLocator


def _licence(j: EvaluatedRecord) -> str:
    return j.expression.text if j.expression else j.record.license


def duplicate_findings(
    folder: Path, evaluated: list[EvaluatedRecord], policy: Policy, cache: FactsCache
) -> Iterator[Finding]:
    """The same bytes, the same pixels, or nearly the same image: under two licences, or twice."""
    seen = [j for j in evaluated if j.facts.perceptual_hash is not None]
    for severity, rule, j, why in _worst(_pairs(folder, seen, policy, cache)):
        if severity != "allow":
            yield Finding(j.record.file_name, rule, severity, why, j.line)


_Pair = tuple[str, str, EvaluatedRecord, Phrase]


def _gravity(pair: _Pair) -> tuple[int, int, str]:
    rules = ("two-licences", "near-duplicate-other-licence", "same-picture", "near-duplicate")
    return ("block", "warn", "allow").index(pair[0]), rules.index(pair[1]), str(pair[3])


def _worst(pairs: Iterator[_Pair]) -> Iterator[_Pair]:
    """One finding an image: the gravest."""
    best: dict[str, _Pair] = {}
    for pair in pairs:
        name = pair[2].record.file_name
        if name not in best or _gravity(pair) < _gravity(best[name]):
            best[name] = pair
    yield from best.values()


def _pairs(folder: Path, seen: list[EvaluatedRecord], policy: Policy, cache: FactsCache) -> Iterator[_Pair]:
    hashes = [j.facts.perceptual_hash for j in seen if j.facts.perceptual_hash is not None]
    # each copy is compared with the first only: where any two differ in licence, one of them differs from the first
    for a, b in similar_pairs(hashes):
        one, two = sorted((seen[a], seen[b]), key=lambda j: j.record.file_name)
        same_licence = _licence(one) == _licence(two)
        same = one.facts.sha256 == two.facts.sha256 or _same_pixels(folder, one, two, cache)
        for j, other in ((one, two), (two, one)):
            name, licence = other.record.file_name, other.record.license or "–"
            if same and not same_licence:
                yield (
                    "block",
                    "two-licences",
                    j,
                    Phrase(
                        "it is the same image as {other}, which has another licence: {licence}",
                        other=name,
                        licence=licence,
                    ),
                )
            elif not same_licence:
                yield (
                    policy.rules["near-duplicate-other-licence"],
                    "near-duplicate-other-licence",
                    j,
                    Phrase("it looks like {other}, which has another licence: {licence}", other=name, licence=licence),
                )
            elif same and j is two:
                yield (
                    policy.rules["same-picture"],
                    "same-picture",
                    j,
                    Phrase("it is the same image as {other}", other=name),
                )
            elif j is two:
                yield policy.rules["near-duplicate"], "near-duplicate", j, Phrase("it looks like {other}", other=name)


def _same_pixels(folder: Path, one: EvaluatedRecord, two: EvaluatedRecord, cache: FactsCache) -> bool:
    if (one.facts.width, one.facts.height) != (two.facts.width, two.facts.height):
        return False
    pixels = [cache.pixels(FileLocator(folder).path(j.record.file_name), j.facts.sha256) for j in (one, two)]
    return bool(pixels[0]) and pixels[0] == pixels[1]
