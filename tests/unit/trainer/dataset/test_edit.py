"""Records changed by hand, through the program that the window starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commonart_desktop.core.process import program
from engine.contract.errors import BadRow, BadValue, CommonArtError
from tests.support.images import make_dataset
from trainer.dataset.edit import Change, edit, read_changes
from trainer.dataset.importers.run import run_import
from trainer.dataset.importers.source import Options
from trainer.dataset.licence.gate import check
from trainer.dataset.records import read_records


def change(folder: Path, changes: Any) -> dict[str, int]:
    file = folder.parent / "changes.json"
    file.write_text(json.dumps(changes), encoding="utf-8")
    return edit(folder, read_changes(file))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "set", 4, size=32)


def test_some_columns_of_some_rows(folder: Path) -> None:
    before = list(read_records(folder))
    names = [r.file_name for r in before[:2]]
    assert change(
        folder, [{"files": names, "set": {"license": "cc0-1.0", "creator": " 山田 ", "text_ja": ["りんご", ""]}}]
    ) == {"changed": 2, "added": 0, "removed": 0}
    after = list(read_records(folder))
    assert (
        [r.license for r in after[:2]] == ["CC0-1.0"] * 2
        and after[0].creator == "山田"
        and after[0].text_ja == ("りんご",)
    )
    assert after[0].text == before[0].text and after[2:] == before[2:] and after[0].extra == before[0].extra


def test_a_caption_written_by_hand_is_no_longer_the_machines(folder: Path) -> None:
    one = next(read_records(folder))
    edit(folder, [Change(files=(one.file_name,), set={"text": ("a",)})])
    rows = (
        (folder / "metadata.jsonl")
        .read_text(encoding="utf-8")
        .replace('"caption_origin": "human"', '"caption_origin": "machine:m"', 1)
    )
    (folder / "metadata.jsonl").write_text(rows, encoding="utf-8")
    edit(folder, [Change(files=(one.file_name,), set={"text": ("b",)})])
    now = next(read_records(folder))
    assert now.origin("en") == "human" and now.origin("ja") == "machine:m"


def test_rows_are_added_removed_and_hashed_anew(folder: Path) -> None:
    names = [r.file_name for r in read_records(folder)]
    edit(folder, [Change(files=(names[0],), remove=True)])
    assert [r.file_name for r in read_records(folder)] == names[1:]
    assert edit(folder, [Change(files=(names[0],), set={"license": "CC0-1.0"})])["added"] == 1
    (folder / names[1]).write_bytes((folder / names[2]).read_bytes())
    edit(folder, [Change(files=(names[1],), rehash=True)])
    by_name = {r.file_name: r for r in read_records(folder)}
    assert by_name[names[1]].sha256 == by_name[names[2]].sha256 and len(by_name[names[0]].sha256) == 64


def test_a_line_that_is_no_row_stops_all_until_it_is_taken_out(folder: Path) -> None:
    file = folder / "metadata.jsonl"
    file.write_text("{broken\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    name = "0000"
    before = file.read_bytes()
    with pytest.raises(BadRow):
        edit(folder, [Change(files=(name,), set={"creator": "x"})])
    assert file.read_bytes() == before
    assert edit(folder, [Change(line=1, remove=True)]) == {"changed": 0, "added": 0, "removed": 1}
    assert len(list(read_records(folder))) == 4


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ({"license": "CC-BY"}, "license"),
        ({"source_url": "example.org"}, "source_url"),
        ({"creator": "a\nb"}, "creator"),
        ({"sha256": "0"}, "sha256"),
        ({"text": 3}, "text"),
    ],
)
def test_bad_values_name_their_column_and_change_nothing(folder: Path, values: dict[str, Any], column: str) -> None:
    before = (folder / "metadata.jsonl").read_bytes()
    name = next(read_records(folder)).file_name
    with pytest.raises(BadValue) as e:
        change(folder, [{"files": [name], "set": values}])
    assert e.value.fields["name"] == column and (folder / "metadata.jsonl").read_bytes() == before


@pytest.mark.parametrize("changes", [{}, [1], [{"file": "x"}], [{"files": "x"}], [{"files": ["../x"], "remove": True}]])
def test_what_is_no_list_of_changes_is_refused(folder: Path, changes: Any) -> None:
    with pytest.raises(CommonArtError):
        change(folder, changes)


def test_as_a_program(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(
        json.dumps([{"files": ["nobody.png"], "set": {"license": "CC0-1.0"}}]), encoding="utf-8"
    )
    with pytest.raises(CommonArtError, match="nobody"):
        program("trainer.dataset", ["edit", f"--changes={tmp_path / 'c.json'}", "--", str(folder)])
    name = next(read_records(folder)).file_name
    (tmp_path / "c.json").write_text(json.dumps([{"files": [name], "set": {"license": "MIT"}}]), encoding="utf-8")
    assert program("trainer.dataset", ["edit", f"--changes={tmp_path / 'c.json'}", "--", str(folder)])["changed"] == 1


def test_a_licence_given_by_hand_stands_beside_what_is_stated(tmp_path: Path) -> None:
    source = make_dataset(tmp_path / "source", 2, size=32)
    rows = [json.loads(x) for x in (source / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    rows[0] |= {"license": "CC-BY-NC-4.0", "license_url": "", "creator": "A", "evidence": ""}
    rows[1] |= {"license": "free for us", "license_url": "", "creator": "B"}
    (source / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    out = tmp_path / "set"
    run_import(out, source, Options())
    names = [r["file_name"] for r in rows]

    def rules(severity: str) -> set[tuple[str, str]]:
        return {(f.rule, f.file) for f in check(out).findings if f.severity == severity}

    change(out, [{"files": names, "set": {"license": "LicenseRef-Own", "license_url": ""}}])
    # what nobody understood may be decided; what is plainly stated needs evidence
    assert rules("block") == {("licence-statements-differ", names[0])}
    assert ("licence-decided", names[1]) in rules("warn")
    change(out, [{"files": names[:1], "set": {"evidence": "contract 7"}}])
    assert check(out).passed and ("licence-decided", names[0]) in rules("warn")
    record = next(r for r in read_records(out) if r.file_name == names[0])
    assert [(s.source, s.license) for s in record.license_statements][-1] == ("edit", "LicenseRef-Own")
    assert any(s.license == "CC-BY-NC-4.0" for s in record.license_statements)
    # another import brings the statement back only once, and takes no decision away
    assert run_import(out, source, Options()).already == 2 and check(out).passed
