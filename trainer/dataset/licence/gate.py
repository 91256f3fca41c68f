"""The licence gate: every record, every file, every similar pair, checked against one policy.

Not legal advice.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from engine.contract.errors import BadRow, Phrase
from engine.contract.version import VERSION
from trainer.dataset.evidence.gather import Evidence
from trainer.dataset.licence.attribution import FILE as ATTRIBUTION
from trainer.dataset.licence.attribution import write_attribution
from trainer.dataset.licence.duplicates import duplicate_findings
from trainer.dataset.licence.facts_cache import FactsCache, tools
from trainer.dataset.licence.file_facts import Progress, gather
from trainer.dataset.licence.policy import Policy, load_policy
from trainer.dataset.licence.report import FILE as REPORT
from trainer.dataset.licence.report import Finding, GateReport, manifest_sha256, write_report
from trainer.dataset.licence.rules import EvaluatedRecord, evaluate_record
from trainer.dataset.records import FILE, Record, file_of, scan
from trainer.dataset.tree import FileLocator, Folder, key_of

# images by their ending, of formats that are not read too: none of them may lie there unrecorded
_PICTURES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".avif",
    ".heic",
    ".heif",
    ".jxl",
    ".jfif",
    ".psd",
    ".tga",
    ".ico",
    ".jp2",
)
_TOP = 20  # creators named in the report


def check(
    folder: Path,
    policy: Policy | str | Path = "commercial",
    *,
    full: bool = False,
    progress: Progress | None = None,
    write: bool = True,
    out: Path | None = None,
    workers: int | None = None,
) -> GateReport:
    """Check a dataset folder; write ``gate-report.json`` and ``ATTRIBUTION.md`` into ``out`` (the folder itself).

    ``full`` reads every byte again; otherwise a file whose size, times and identity did not change since it was last
    checked keeps its cached hash. A folder that fails is no error here: see ``GateReport.passed`` and
    ``demand``.

    Raises:
        BadFile, NoRecords: no such folder, no metadata.jsonl. NotUtf8, BadPolicy, DiskFull, OutputFolder
    """
    rules = policy if isinstance(policy, Policy) else load_policy(policy)
    before = hashlib.sha256(file_of(folder).read_bytes()).hexdigest()
    rows, findings = _rows(folder)
    cache = FactsCache(folder)
    try:
        facts = gather(folder, [r.file_name for r, _ in rows], cache, full=full, progress=progress, workers=workers)
        evaluated = []
        beside = Evidence(Folder(folder), {r.file_name for r, _ in rows}, skip={FILE, REPORT, ATTRIBUTION})
        for record, line in rows:
            one, record_findings = evaluate_record(
                record, line, facts[record.file_name], rules, beside.of(record.file_name)
            )
            evaluated.append(one)
            findings += record_findings
        findings += _orphans(folder, rows)
        findings += duplicate_findings(folder, evaluated, rules, cache)
    finally:
        cache.close()
    findings += _one_creator(evaluated, rules)
    after = hashlib.sha256(file_of(folder).read_bytes()).hexdigest()
    if after != before:
        findings.append(
            Finding(
                FILE, "changed-meanwhile", "block", Phrase("it was changed while it was being checked; check again")
            )
        )
    report = GateReport(
        pictures=len(rows),
        manifest_sha256=manifest_sha256((r.file_name, facts[r.file_name].sha256, r.license) for r, _ in rows),
        records_sha256=before,
        policy=rules.as_data(),
        policy_sha256=rules.sha256,
        licences=_sorted(Counter(j.expression.text if j.expression else (j.record.license or "–") for j in evaluated)),
        classes=_sorted(Counter(c for j in evaluated for c in j.classes)),
        creators=dict(Counter(j.record.creator or "–" for j in evaluated).most_common(_TOP)) if len(evaluated) else {},
        captions={x: sum(1 for j in evaluated if j.record.captions(x)) for x in ("en", "ja")},
        total_bytes=sum(f.size for f in facts.values()),
        findings=tuple(sorted(findings)),
        tools={"commonart-desktop": VERSION} | tools(),
    )
    if not write:
        return report
    place = out or folder
    report = write_report(report, place)
    write_attribution(place, (r for r, _ in rows))
    return report


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))


def _rows(folder: Path) -> tuple[list[tuple[Record, int]], list[Finding]]:
    """The readable rows, one a file, and what is wrong with the others."""
    rows: list[tuple[Record, int]] = []
    findings: list[Finding] = []
    first: dict[str, tuple[Record, int]] = {}
    for line, row in scan(folder):
        if isinstance(row, BadRow):
            findings.append(Finding(FILE, "bad-row", "block", row.fields["why"], line))
            continue
        key = key_of(row.file_name)  # two names that are one on Windows and macOS
        if (other := first.get(key)) is not None:
            if other[0].license != row.license:
                why = Phrase(
                    "it has two rows (lines {first} and {second}) with two licences: {one} and {two}",
                    first=other[1],
                    second=line,
                    one=other[0].license or "–",
                    two=row.license or "–",
                )
                findings.append(Finding(row.file_name, "two-licences", "block", why, line))
            else:
                findings.append(
                    Finding(
                        row.file_name,
                        "two-rows",
                        "block",
                        Phrase("it has two rows, lines {first} and {second}", first=other[1], second=line),
                        line,
                    )
                )
            continue
        first[key] = (row, line)
        rows.append((row, line))
    if not rows and not findings:
        findings.append(Finding(FILE, "empty", "block", Phrase("there is no image in it")))
    return rows, findings


def _orphans(folder: Path, rows: list[tuple[Record, int]]) -> Iterator[Finding]:
    """Images without a row."""
    locator = FileLocator(folder)
    recorded = {locator.path(record.file_name).relative_to(folder).as_posix() for record, _ in rows}
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(d for d in folders if not d.startswith("."))
        for name in files:
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if name.lower().endswith(_PICTURES) and not name.startswith(".") and relative not in recorded:
                shown = relative.encode("utf-8", "backslashreplace").decode("utf-8")
                yield Finding(shown, "no-row", "block", Phrase("the image has no row in metadata.jsonl"))


def _one_creator(evaluated: list[EvaluatedRecord], policy: Policy) -> Iterator[Finding]:
    """Report a creator whose works dominate the set, since training learns their style. Own images are not counted."""
    others = [j for j in evaluated if "own" not in j.classes]
    if len(others) < policy.limits["creator_pictures"] or policy.rules["one-creator"] == "allow":
        return
    counts = Counter(" ".join(j.record.creator.split()) for j in others if j.record.creator.strip())
    for creator, count in sorted(counts.items()):
        if count / len(others) > policy.limits["creator_share"]:
            yield Finding(
                FILE,
                "one-creator",
                policy.rules["one-creator"],
                Phrase(
                    "{count} of {total} images ({percent} %) are by {creator}; what is learned may be that hand",
                    count=count,
                    total=len(others),
                    percent=round(100 * count / len(others)),
                    creator=creator,
                ),
            )
