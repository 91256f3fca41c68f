"""metadata.jsonl: read line by line, errors that name their line, complete writes."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contract.errors import BadRow, CommonArtError, NoRecords, NotUtf8
from tests.support.images import make_dataset
from trainer.dataset.records import FILE, Record, parse, read_records, scan, to_row, write_records


def test_what_is_written_is_what_was_read_unknown_columns_too(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", 5)
    records = list(read_records(folder))
    assert records[0].text_ja and records[0].license == "CC0-1.0" and len(records) == 5
    odd = Record(file_name="a/b.png", text=("one", "two"), extra={"camera": {"iso": 100}, "rating": 4.5})
    assert write_records(folder, [*records, odd]) == 6
    assert list(read_records(folder)) == [*records, odd]
    row = json.loads((folder / FILE).read_text(encoding="utf-8").splitlines()[-1])
    assert row["text"] == ["one", "two"] and row["camera"] == {"iso": 100}


def test_a_file_may_begin_with_a_byte_order_mark_and_have_empty_lines(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(
        b"\xef\xbb\xbf" + '{"file_name": "あ.png", "text": "猫"}\r\n\r\n{"file_name": "b.png"}'.encode()
    )
    assert [r.file_name for r in read_records(tmp_path)] == ["あ.png", "b.png"]


def test_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes('{"file_name": "a.png", "text": "猫と犬"}\n'.encode("cp932"))
    with pytest.raises(NotUtf8, match=r"jsonl:1 .*cp932"):
        list(read_records(tmp_path))
    (tmp_path / FILE).write_bytes('{"file_name": "a.png"}\n'.encode("utf-16"))
    with pytest.raises(NotUtf8, match="UTF-16"):
        list(read_records(tmp_path))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("nonsense", "not JSON"),
        ("[1]", "JSON object"),
        ('{"text": "x"}', "file_name is missing"),
        ('{"file_name": "../x.png"}', "inside the folder"),
        ('{"file_name": "/etc/x.png"}', "inside the folder"),
        ('{"file_name": "C:/x.png"}', "inside the folder"),
        ('{"file_name": "a\\\\b.png"}', "inside"),
        ('{"file_name": "a.png", "text": 5}', "text is neither"),
        ('{"file_name": "a.png", "text": ["a", 1]}', "text is neither"),
        ('{"file_name": "a.png", "license": ["MIT"]}', "license is not text"),
        ('{"file_name": "a\\u0000.png"}', "control"),
        ('{"file_name": "a.png", "x": "\\ud800"}', "surrogate"),
        ("[" * 5000, "not JSON"),
        ('{"file_name": "a.png", "x": NaN}', "not JSON"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_the_rest_follows(tmp_path: Path, row: str, why: str) -> None:
    (tmp_path / FILE).write_text(
        '{"file_name": "good.png"}\n' + row + '\n{"file_name": "last.png"}\n', encoding="utf-8"
    )
    seen = list(scan(tmp_path))
    assert [n for n, _ in seen] == [1, 2, 3] and isinstance(seen[1][1], BadRow) and isinstance(seen[2][1], Record)
    with pytest.raises(BadRow, match=f"line 2: .*{why}"):
        list(read_records(tmp_path))


def test_no_records_no_folder_too_long_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoRecords):
        list(read_records(tmp_path))
    with pytest.raises(CommonArtError, match="no such folder"):
        list(read_records(tmp_path / "not"))
    monkeypatch.setattr("trainer.dataset.records.MAX_LINE", 100)
    (tmp_path / FILE).write_text('{"file_name": "' + "x" * 500 + '.png"}\n{"file_name": "b.png"}\n', encoding="utf-8")
    seen = list(scan(tmp_path))
    assert isinstance(seen[0][1], BadRow) and isinstance(seen[1][1], Record)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path, 2)
    before = (folder / FILE).read_bytes()

    def broken() -> Any:
        yield Record(file_name="a.png")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(folder, broken())
    assert (folder / FILE).read_bytes() == before and not list(folder.glob(".*"))


def test_many_rows_need_little_memory(tmp_path: Path) -> None:
    with (tmp_path / FILE).open("w", encoding="utf-8") as f:
        for n in range(4_000):
            f.write(
                json.dumps({"file_name": f"{n}.png", "text": "a caption of some length", "license": "CC0-1.0"}) + "\n"
            )
    tracemalloc.start()
    assert sum(1 for _ in read_records(tmp_path)) == 4_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000


def test_captions_of_one_language_are_replaced_with_their_origin() -> None:
    r = Record(file_name="a.png", text=("cat",), caption_origin="human")
    assert r.origin("en") == "human"
    both = r.with_captions("ja", ["猫"], "machine:Qwen2-VL@abc")
    assert (
        both.text == ("cat",) and both.text_ja == ("猫",) and both.caption_origin == "en=human; ja=machine:Qwen2-VL@abc"
    )
    assert both.origin("en") == "human" and both.origin("ja") == "machine:Qwen2-VL@abc"
    assert both.with_captions("en", ["a cat"], "machine:Qwen2-VL@abc").caption_origin == "machine:Qwen2-VL@abc"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda x: (
                st.lists(x, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["file_name", "text", "text_ja", "license", "sha256", "extra", "x"]), x, max_size=4
                )
            ),
            max_leaves=8,
        ).map(json.dumps),
    )
)
def test_any_line_is_a_record_or_a_sentence(line: str) -> None:
    try:
        record = parse(line)
    except ValueError as e:
        assert hasattr(e.args[0], "template")
        return
    again = parse(json.dumps(to_row(record), ensure_ascii=False))
    assert again == record
