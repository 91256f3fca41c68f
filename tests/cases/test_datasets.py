"""Every case is imported, counted and judged as is right for it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.cases.build import write
from tests.cases.datasets import CASES
from trainer.dataset.importers.run import run_import
from trainer.dataset.importers.source import Options
from trainer.dataset.licence.gate import check
from trainer.dataset.records import read_records


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    if "parquet" in name.lower() and importlib.util.find_spec("pyarrow") is None:
        pytest.skip("pyarrow is not installed")
    source = write(tmp_path / "source", case.files())
    done = run_import(tmp_path / "set", source / case.start, Options(**case.options), form=case.form).as_data()
    records = {r.file_name: r for r in read_records(tmp_path / "set")}
    assert done["found"] == done["added"] + done["already"] + done["read"] + done["skipped"]
    assert done["added"] == len(records) and done["skipped"] == case.left_out, done["reasons"]
    if case.licences is not None:
        assert {n: r.license for n, r in records.items()} == case.licences
    for file, captions in case.captions.items():
        assert (records[file].text, records[file].text_ja) == captions
    report = check(tmp_path / "set", "commercial")
    assert report.passed is case.passes, [str(f.why) for f in report.findings]
    assert {f.rule for f in report.blocking()} == case.rules
    # a second import adds nothing, and changes nothing that it should not
    again = run_import(tmp_path / "set", source / case.start, Options(**case.options), form=case.form)
    assert (again.added, again.already) == (0, done["added"])
    assert check(tmp_path / "set", "commercial").passed is case.passes
