"""Gate rules about evidence: licence statements that differ, are not understood, or were overruled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.contract.errors import Phrase
from trainer.dataset.evidence.columns import statements_of
from trainer.dataset.evidence.statement import EDIT, OPTION, Statement, conclude, expression_of, merged, same
from trainer.dataset.records import FILE, Record
from trainer.dataset.spdx import Expression

_SHOWN = 4  # statements that a finding names


def evidence_findings(
    record: Record, others: Sequence[Statement], expression: Expression | None
) -> Iterator[tuple[str, Phrase, str | None]]:
    """Rule, reason, and its severity where no policy may change it.

    ``others`` are statements outside the record: in the image file itself, and beside it in the dataset folder.
    """
    stated = record.license_statements
    if not stated:  # written by version 0.1.0 or by hand: its other columns were never searched
        stated = tuple(statements_of(record.extra, FILE))
    stated = merged(stated, others)
    decided = [s for s in stated if s.source == EDIT]
    # what a person gave is in the record's license itself
    sources = [s for s in stated if s.source not in (EDIT, OPTION)]
    conclusion = conclude(sources)
    # the record's own licence counts too, unless it is the conclusion from its statements
    if expression is not None and record.license != conclusion.license:
        sources.append(Statement(f"{FILE} license", record.license, expression.text))
        conclusion = conclude(sources)
    if not conclusion.differing and not conclusion.unknown:
        return
    if decided and expression is not None and same_as(decided[-1], expression):
        yield from _decided(record, sources, expression)
        return
    if conclusion.differing:
        embedded = [s for s in conclusion.differing if s in others]
        if embedded and not record.license_statements:
            yield (
                "licence-in-file-differs",
                Phrase(
                    "the file itself names {named}, its license is {licence}",
                    named=", ".join(s.license for s in embedded),
                    licence=record.license,
                ),
                None,
            )
        else:
            listed = "; ".join(f"{s.license} ({s.source})" for s in conclusion.differing[:_SHOWN])
            yield (
                "licence-statements-differ",
                Phrase("its licence is stated in different ways: {list}", list=listed),
                "block",
            )
    unknown = [s for s in conclusion.unknown if expression is not None or s.text != record.license]
    for one in unknown[:_SHOWN]:  # the license column itself has a rule of its own
        yield (
            "licence-statement-unknown",
            Phrase("what {source} states is not understood: {text!r}", source=one.source, text=one.text),
            "block",
        )


def same_as(one: Statement, expression: Expression) -> bool:
    """Whether a statement is of that licence."""
    stated = expression_of(one)
    return stated is not None and same(stated, expression)


def _decided(
    record: Record, sources: Sequence[Statement], expression: Expression
) -> Iterator[tuple[str, Phrase, str | None]]:
    """Findings where a person set the licence: overruling a clearly stated one requires evidence."""
    against = [s for s in sources if not same_as(s, expression)]
    plain = [s for s in against if s.license]
    listed = "; ".join(f"{s.license or repr(s.text)} ({s.source})" for s in (plain or against)[:_SHOWN])
    if plain and not record.evidence:
        yield (
            "licence-statements-differ",
            Phrase(
                "{licence} was given by hand, but it is stated otherwise: {list}; say in evidence what shows it",
                licence=record.license,
                list=listed,
            ),
            "block",
        )
    elif against:
        yield (
            "licence-decided",
            Phrase("{licence} was given by hand; before, it was stated: {list}", licence=record.license, list=listed),
            None,
        )
