"""Prompt files: what each kind gives, in which encodings, and what a file may not do."""

from __future__ import annotations

import dataclasses
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.contract import promptfile
from engine.contract.errors import BadFile, BadRow, BadValue, CommonArtError, Phrase
from engine.contract.promptfile import PromptRow, read
from engine.contract.request import ImageRequest


@pytest.fixture
def rows(tmp_path: Path) -> Any:
    def made(name: str, data: str | bytes, **options: Any) -> list[PromptRow]:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return list(read(path, **options))

    return made


def refusal(
    rows: Any, name: str, data: str | bytes, kind: type[CommonArtError] = BadRow, **options: Any
) -> CommonArtError:
    with pytest.raises(kind) as caught:
        rows(name, data, **options)
    assert isinstance(caught.value.fields["why"], Phrase)
    return caught.value


def test_txt(rows: Any) -> None:
    found = rows("a.txt", "\ufeff a cat \r\n\r\n# no\n{red|blue} hat\rlast\t")
    assert found == [PromptRow(1, "a cat", {}), PromptRow(4, "{red|blue} hat", {}), PromptRow(5, "last", {})]
    assert rows("b.TXT", "") == []


def test_csv(rows: Any) -> None:
    found = rows(
        "a.csv",
        "Prompt,seed,guidance,size,deterministic,x_style,artist,negative\r\n"
        '"a, ""big""\r\ncat",7,3.5,512x768,TRUE,ink,me,bad\r\n\r\ndog,,,,,,,\r\n',
    )
    assert found == [
        PromptRow(
            2,
            'a, "big"\ncat',
            {
                "seed": 7,
                "guidance": 3.5,
                "width": 512,
                "height": 768,
                "deterministic": True,
                "extra": {"style": "ink", "artist": "me"},
                "negative": "bad",
            },
        ),
        PromptRow(5, "dog", {}),
    ]
    assert type(found[0].settings["guidance"]) is float and type(found[0].settings["seed"]) is int


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.csv", ";"), ("a.csv", "\t"), ("a.tsv", "\t")])
def test_delimiters_are_told_from_the_header(rows: Any, name: str, delimiter: str) -> None:
    text = delimiter.join(("prompt", "steps")) + "\n" + delimiter.join(('"a,b;c\td"', "9")) + "\n"
    assert rows(name, text) == [PromptRow(2, "a,b;c\td", {"steps": 9})]


def test_a_single_column(rows: Any) -> None:
    assert rows("a.tsv", "prompt\na, b; c\n") == [PromptRow(2, "a, b; c", {})]
    assert rows("a.csv", "prompt\ncat\n") == [PromptRow(2, "cat", {})]


def test_jsonl(rows: Any) -> None:
    line = {
        "prompt": "猫\n犬",
        "steps": 5,
        "guidance": 4,
        "deterministic": False,
        "seed": None,
        "mood": "calm",
        "x_n": 3,
        "r": 0.5,
        "sampler": "euler",
        "dtype": "bf16",
        "format": "webp",
        "model": "commonart-beta",
        "name": "pic",
    }
    [row] = rows("a.jsonl", "\n" + json.dumps(line) + "\n")
    assert (row.line, row.prompt) == (2, "猫\n犬")
    assert row.settings == {
        "steps": 5,
        "guidance": 4.0,
        "deterministic": False,
        "sampler": "euler",
        "dtype": "bf16",
        "format": "webp",
        "model": "commonart-beta",
        "name": "pic",
        "extra": {"mood": "calm", "n": "3", "r": "0.5"},
    }


@pytest.mark.parametrize(
    "line",
    [
        '{"prompt": 3}',
        '{"seed": 1}',
        '{"prompt": " "}',
        "[1]",
        '{"prompt": "a"',
        '{"prompt": "a", "seed": "1"}',
        '{"prompt": "a", "seed": true}',
        '{"prompt": "a", "seed": 1.0}',
        '{"prompt": "a", "seed": -1}',
        '{"prompt": "a", "guidance": NaN}',
        '{"prompt": "a", "guidance": "3"}',
        '{"prompt": "a", "deterministic": 1}',
        '{"prompt": "a", "tags": []}',
        '{"prompt": "a", "flag": true}',
        '{"prompt": "a", "size": "big"}',
        '{"prompt": "a", "size": [1, 2]}',
        '{"prompt": "a", "size": "64x64", "width": 64}',
        '{"prompt": "a", "negative": 1}',
        '{"prompt": "a", "sampler": "magic"}',
        '{"prompt": "a", "dtype": ""}',
        '{"prompt": "a", "steps": ' + "9" * 5000 + "}",
        '{"prompt": "a\\u0000"}',
        '{"prompt": "\\ud800"}',
        '{"prompt": "a", "x_": 1}',
        '{"prompt": "a", "x_n": 1, "n": 2}',
        '{"prompt": "a", "size": "999999x64"}',
        "[" * 19_000,
        '{"prompt": "a", "k": "\\u0007"}',
        '{"prompt":"a","\\u0007":1}',
    ],
)
def test_bad_json_rows(rows: Any, line: str) -> None:
    error = refusal(rows, "a.jsonl", '{"prompt": "fine"}\n' + line + "\n")
    assert error.fields["line"] == 2


@pytest.mark.parametrize(
    "cells",
    [
        "seed,x",
        "seed,1_0",
        "seed,1.0",
        "steps,0",
        "count,0",
        "width,15",
        "guidance,nan",
        "guidance,1.2.3",
        "guidance,101",
        "deterministic,yes",
        "size,512",
        "format,gif",
    ],
)
def test_bad_cells(rows: Any, cells: str) -> None:
    name, value = cells.split(",")
    error = refusal(rows, "a.csv", f"prompt,{name}\nfine,\n\nbad,{value}\n")
    assert error.fields["line"] == 4
    assert name in str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("out", "x"),
        ("text_encoder", "t5"),
        ("vae", "v"),
        ("model", "../m"),
        ("model", "/m"),
        ("model", "a\\b"),
        ("model", ".."),
        ("model", "C:m"),
        ("model", "~"),
        ("name", "../x"),
        ("name", "a/b"),
    ],
)
def test_a_file_may_not_choose_paths(rows: Any, name: str, value: str) -> None:
    refusal(rows, "a.csv", f"prompt,{name}\na,{value}\n")
    refusal(rows, "a.jsonl", json.dumps({"prompt": "a", name: value}))
    assert rows("a.csv", f"prompt,{name}\na,\n") == [PromptRow(2, "a", {})]


def test_the_limits_are_those_of_a_request() -> None:
    base = ImageRequest(prompt="a", seed=0)
    for name, (low, high) in promptfile.WHOLE.items() | {("guidance", (0, 100))}:
        if name != "count":
            for value in (low, high):
                assert getattr(dataclasses.replace(base, **{name: value}), name) == value
            for value in (low - 1, high + 1):
                with pytest.raises(BadValue):
                    dataclasses.replace(base, **{name: value})
    assert set(promptfile.WHOLE) | set(promptfile.CHOICES) <= {f.name for f in dataclasses.fields(base)} | {"count"}


def test_loras_by_name(rows: Any) -> None:
    (row,) = rows("a.csv", 'prompt,preset,loras\ncat,fast,"和風:0.5, ink"\n')
    assert row.settings == {"preset": "fast", "loras": (("和風", 0.5), ("ink", 1.0))}
    (row,) = rows("b.csv", 'prompt,loras\ncat,"a/和風:0.5, b/c/ink"\n')
    assert row.settings == {"loras": (("a/和風", 0.5), ("b/c/ink", 1.0))}
    for bad in (
        "../ink",
        "a/../ink",
        "a//ink",
        "./ink",
        "a/",
        "/ink.safetensors:1",
        "C:ink",
        "~ink",
        "",
        "ink:x",
        "ink:0.5:1",
    ):
        refusal(rows, "a.jsonl", json.dumps({"prompt": "cat", "loras": bad}) + "\n")
    refusal(rows, "b.jsonl", '{"prompt": "cat", "loras": [["ink", 1]]}\n')


def test_bad_tables(rows: Any) -> None:
    assert "prompt" in str(refusal(rows, "a.csv", "text,seed\na,1\n"))
    assert "twice" in str(refusal(rows, "a.csv", "prompt,style,style\na,b,c\n"))
    assert "column" in str(refusal(rows, "a.csv", "prompt,seed\na,1,2\n"))
    assert refusal(rows, "a.csv", 'prompt,seed\na,1\n"never closed\nb,2\n').fields["line"] == 3
    assert "no prompt" in str(refusal(rows, "a.csv", "prompt,seed\n,1\n"))
    assert rows("a.csv", "prompt,,\na,,\n") == [PromptRow(2, "a", {})]


def test_control_characters(rows: Any) -> None:
    for bad in ("a\x00b", "a\x1bb", "a\x7fb", "a\x85b"):
        assert "U+" in str(refusal(rows, "a.txt", bad))
    assert rows("a.txt", "a\tb")[0].prompt == "a\tb"


def test_prompts_are_nfc(rows: Any) -> None:
    assert rows("a.txt", "か\u3099")[0].prompt == "が"
    assert rows("a.jsonl", '{"prompt": "か\\u3099"}')[0].prompt == "が"


@pytest.mark.parametrize("line", ["# coding: cp932", "# -*- coding: shift_jis -*-", "#coding=Windows-31J"])
def test_cp932_by_the_first_line(rows: Any, line: str) -> None:
    assert rows("a.txt", f"{line}\n表紙の猫①\n".encode("cp932")) == [PromptRow(2, "表紙の猫①", {})]
    table = rows("a.csv", f"{line}\r\nprompt,negative\r\n表,能\r\n".encode("cp932"))
    assert table == [PromptRow(3, "表", {"negative": "能"})]


def test_encodings(rows: Any) -> None:
    assert rows("a.txt", "猫\n表".encode("cp932"), encoding="Shift_JIS")[1].prompt == "表"
    assert rows("a.txt", "猫".encode("utf-8-sig"), encoding="cp932")[0].prompt == "猫"  # the mark is certain
    assert rows("a.txt", "猫\n犬".encode("utf-16"))[1] == PromptRow(2, "犬", {})
    assert rows("a.csv", b"\xfe\xff" + "prompt\n猫\n".encode("utf-16-be"))[0].prompt == "猫"
    assert rows("a.txt", "# coding: utf-8\n猫")[0].prompt == "猫"
    assert refusal(rows, "a.txt", b"# coding: ebcdic\na", BadFile).exit_status == 2
    refusal(rows, "a.txt", b"a", BadValue, encoding="hex")


def test_wrong_bytes_are_told_with_their_line(rows: Any) -> None:
    said = str(refusal(rows, "a.txt", "a\nb\n猫\n".encode("cp932"), BadFile))
    assert "line 3" in said and "# coding: cp932" in said and "--encoding cp932" in said
    assert refusal(rows, "a.txt", b"# coding: cp932\na\n\x81\n").fields["line"] == 3
    refusal(rows, "a.txt", b"\xff\xfea\x00\n\x00\x00\xd8a\x00")
    refusal(rows, "a.txt", b"\xff\xfea\x00\n")


def test_files_that_cannot_be_read(rows: Any, tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    for name, part in (
        ("none.txt", "no such file"),
        ("folder.txt", "folder"),
        ("a.xlsx", ".jsonl"),
        ("a\0.txt", "null"),
    ):
        with pytest.raises(BadFile, match=part) as caught:
            read(tmp_path / name)
        assert isinstance(caught.value.fields["why"], Phrase)
    with (tmp_path / "big.txt").open("wb") as file:
        file.truncate(64_000_001)
    with pytest.raises(BadFile, match="64 MB"):
        read(tmp_path / "big.txt")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.txt")
        with pytest.raises(BadFile, match="ordinary"):
            read(tmp_path / "pipe.txt")


def test_long_rows(rows: Any) -> None:
    assert len(rows("a.txt", "x" * 20_000 + "\r\n" + "猫" * 20_000)[1].prompt) == 20_000
    assert refusal(rows, "a.txt", "ok\n" + "x" * 20_001).fields["line"] == 2
    assert refusal(rows, "a.csv", 'prompt\nok\n"' + "x\n" * 30_000).fields["line"] == 3
    assert refusal(rows, "a.csv", "x" * 20_001).fields["line"] == 1


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl"])
def test_memory_stays_flat(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    line = {"a.jsonl": b'{"prompt": "' + b"x" * 990 + b'"}\n'}.get(name, b"x" * 1000 + b"\n")
    path.write_bytes((b"prompt\n" if name == "a.csv" else b"") + line * 3000)
    endless = tmp_path / f"endless{path.suffix}"
    endless.write_bytes(b"x" * 3_000_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(path)) == 3000
        with pytest.raises(BadRow):
            list(read(endless))
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


def test_rows_before_a_bad_one_are_given_first(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a"}\n{', encoding="utf-8")
    found = read(path)
    assert next(found).prompt == "a"
    with pytest.raises(BadRow):
        next(found)


PIECES = st.sampled_from(
    [
        b"prompt",
        b",",
        b"\n",
        b"\r",
        b'"',
        b"{",
        b"}",
        b":",
        b"# coding: cp932\n",
        b"\xff\xfe",
        b"\0",
        b'{"prompt": "a"}',
        b"\x81",
        b"\xef\xbb\xbf",
        "猫".encode(),
        b"seed",
        b"7",
        b"\t",
        b";",
        b"\\",
    ]
)


@given(
    st.lists(PIECES, max_size=25).map(b"".join) | st.binary(max_size=80),
    st.sampled_from(promptfile.SUFFIXES),
    st.sampled_from([None, "cp932", "utf-8"]),
)
@example(b"\xff\xfe\x00\xdc", ".txt", None)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_rows_or_an_error_of_ours(
    tmp_path: Path, data: bytes, suffix: str, encoding: str | None
) -> None:
    path = tmp_path / f"any{suffix}"
    path.write_bytes(data)
    try:
        found = list(read(path, encoding=encoding))
    except CommonArtError:
        return
    assert all(row.prompt.strip() and row.line >= 1 for row in found)
    assert [row.line for row in found] == sorted({row.line for row in found})


@given(st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20), max_size=5))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_jsonl_round_trip(tmp_path: Path, prompts: list[str]) -> None:
    prompts = [p for p in prompts if p.strip()]
    path = tmp_path / "trip.jsonl"
    path.write_text("".join(json.dumps({"prompt": p}, ensure_ascii=False) + "\n" for p in prompts), encoding="utf-8")
    assert [row.prompt for row in read(path)] == [promptfile.unicodedata.normalize("NFC", p) for p in prompts]
