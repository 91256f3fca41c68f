"""Gate rules about one record and its file."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.contract.errors import Phrase
from trainer.dataset.evidence.statement import Statement, expression_of
from trainer.dataset.importers.columns import FORBIDDEN
from trainer.dataset.licence.evidence import evidence_findings
from trainer.dataset.licence.facts_cache import Facts
from trainer.dataset.licence.policy import Policy
from trainer.dataset.licence.report import Finding
from trainer.dataset.licence_names import from_url
from trainer.dataset.records import LANGUAGES, Record
from trainer.dataset.spdx import Expression, parse

# values of training_permission that allow training, as CAWG spells them and in plain words; see also FORBIDDEN
_ALLOWED = {"", "allowed", "allow", "yes", "true", "granted"}
_SEPARATORS = "\t\n\r"
_BIDI = {
    chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
}  # they change the displayed order of the text


@dataclass(frozen=True)
class EvaluatedRecord:
    """A record with its parsed licence; ``expression`` is None where it cannot be parsed."""

    record: Record
    line: int
    facts: Facts
    expression: Expression | None
    classes: tuple[str, ...]  # of the alternative with the best verdict


def evaluate_record(
    record: Record, line: int, facts: Facts, policy: Policy, beside: Sequence[Statement] = ()
) -> tuple[EvaluatedRecord, list[Finding]]:
    """Check one record and return its findings.

    ``beside`` are the statements about its file in the dataset folder, outside the record.
    """
    findings: list[Finding] = []

    def report(rule: str, why: Phrase, severity: str | None = None) -> None:
        verdict = severity or policy.rules.get(rule, "block")
        if verdict != "allow":
            findings.append(Finding(record.file_name, rule, verdict, why, line))

    expression: Expression | None = None
    classes: tuple[str, ...] = ()
    try:
        expression = parse(record.license)
    except ValueError as e:
        report("licence-missing" if not record.license else "licence-unreadable", e.args[0])
    if expression is not None:
        verdict, reasons, choice = policy.of_expression(expression)
        classes = choice.classes
        if verdict != "allow":
            report(
                "licence",
                Phrase(
                    "{licence} is not allowed by the policy {policy} ({classes})",
                    licence=record.license,
                    policy=policy.name,
                    classes=", ".join(reasons),
                )
                if verdict == "block"
                else Phrase(
                    "{licence} needs care under the policy {policy} ({classes})",
                    licence=record.license,
                    policy=policy.name,
                    classes=", ".join(reasons),
                ),
                verdict,
            )
        missing = [name for name in ("creator", "license_url", "source_url") if not getattr(record, name)]
        if "by" in classes and missing:
            report(
                "attribution",
                Phrase(
                    "{licence} asks for attribution, and the record has no {columns}",
                    licence=record.license,
                    columns=", ".join(missing),
                ),
            )
        named = from_url(record.license_url) if record.license_url else None
        if named and (other := _other_than(named, expression, record.license_statements)):
            report(
                "licence-url-differs",
                Phrase("its license_url is that of {named}, its license is {licence}", named=named, licence=other),
            )
    for rule, why, severity in evidence_findings(record, (*facts.signals.statements, *beside), expression):
        report(rule, why, severity)
    for rule, why in _file(record, facts):
        report(rule, why)
    for rule, why in _captions(record, int(policy.limits["caption_characters"])):
        report(rule, why)
    return EvaluatedRecord(record, line, facts, expression, classes), findings


def _other_than(named: str, expression: Expression, statements: Sequence[Statement]) -> str:
    """A stated licence that differs from ``named`` in a row whose address is that of ``named``.

    Empty where there is none.
    """
    rows = {s.source.rpartition(" ")[0] for s in statements if from_url(s.text) == named}
    beside = [s for s in statements if s.source.rpartition(" ")[0] in rows and not s.mention and not from_url(s.text)]
    stated = [e for s in beside if (e := expression_of(s)) is not None]
    for one in stated or [expression]:
        if named not in {i.split(" WITH ")[0] for c in one.choices for i in c.licences}:
            return one.text
    return ""


def _file(record: Record, facts: Facts) -> Iterator[tuple[str, Phrase]]:
    """Check the hash, the image, and statements of the file and the creator about training."""
    if facts.error is not None:
        yield ("picture" if facts.sha256 else "no-picture"), facts.error
    if facts.sha256:
        if not record.sha256:
            yield (
                "hash-missing",
                Phrase("no sha256 is recorded, so nobody can tell whether this is the file that was licensed"),
            )
        elif record.sha256 != facts.sha256:
            yield (
                "hash-differs",
                Phrase(
                    "the file is not the recorded one: its SHA-256 is {found}…, recorded is {recorded}…",
                    found=facts.sha256[:12],
                    recorded=record.sha256[:12],
                ),
            )
    for signal in facts.signals.forbids:
        yield "training-forbidden", Phrase("the file forbids training: {signal}", signal=signal)
    for signal in facts.signals.constrains:
        yield "training-constrained", Phrase("the file sets conditions on training: {signal}", signal=signal)
    for signal in facts.signals.ai_made:
        yield "ai-made", Phrase("the file is marked as made by AI: {signal}", signal=signal)
    for signal in facts.signals.unreadable:
        yield "unreadable-provenance", Phrase("its {signal} data is damaged and could not be read", signal=signal)
    permission = record.training_permission.lower()
    if permission in FORBIDDEN:
        yield "training-forbidden", Phrase("its training_permission is {value!r}", value=record.training_permission)
    elif permission not in _ALLOWED:
        yield "training-constrained", Phrase("its training_permission is {value!r}", value=record.training_permission)


def _captions(record: Record, limit: int) -> Iterator[tuple[str, Phrase]]:
    if not any(record.captions(x) for x in LANGUAGES):
        yield "caption-empty", Phrase("it has no caption")
    for language, column in LANGUAGES.items():
        for caption in record.captions(language):
            if not caption.strip():
                yield "caption-empty", Phrase("a caption in {column} is empty", column=column)
            if len(caption) > limit:
                yield (
                    "caption-long",
                    Phrase(
                        "a caption in {column} has {count} characters, more than {limit}",
                        column=column,
                        count=len(caption),
                        limit=limit,
                    ),
                )
            if any((unicodedata.category(c) == "Cc" and c not in _SEPARATORS) or c in _BIDI for c in caption):
                yield "caption-control", Phrase("a caption in {column} has control characters", column=column)
