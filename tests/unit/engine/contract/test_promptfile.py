"""Prompt files: what each kind gives, in which encodings, and what a file may not do."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.contract import other_tools, prompt_columns, promptfile
from engine.contract.errors import BadFile, BadRow, BadValue, CommonArtError, Phrase
from engine.contract.promptfile import PromptRow, read
from engine.contract.recipe import SAMPLER_NAMES
from engine.contract.request import SAMPLERS, ImageRequest


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
        '{"prompt": "a", "seed": -2}',
        '{"prompt": "a", "seed": -1.0}',
        '{"prompt": "a", "cfg": 3, "guidance": 3}',
        '{"prompt": "a", "seed": 1, "seed": 2}',
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
    for name, (low, high) in prompt_columns.WHOLE.items() | {("guidance", (0, 100))}:
        if name != "count":
            for value in (low, high):
                assert getattr(dataclasses.replace(base, **{name: value}), name) == value
            for value in (low - 1, high + 1):
                with pytest.raises(BadValue):
                    dataclasses.replace(base, **{name: value})
    assert set(prompt_columns.WHOLE) | set(prompt_columns.CHOICES) <= {f.name for f in dataclasses.fields(base)} | {
        "count"
    }


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


# what other programs write ----------------------------------------------------------------------------------------


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.mark.parametrize(
    ("column", "value", "settings"),
    [
        ("negative_prompt", "fog", {"negative": "fog"}),
        ("Negative Prompt", "fog", {"negative": "fog"}),
        ("cfg", "7", {"guidance": 7.0}),
        ("cfg_scale", "7.5", {"guidance": 7.5}),
        ("guidance_scale", "3", {"guidance": 3.0}),
        ("num_inference_steps", "12", {"steps": 12}),
        ("noise_seed", "5", {"seed": 5}),
        ("batch_count", "3", {"count": 3}),
        ("Image-Width", "256", {"width": 256}),
        ("resolution", "64x32", {"width": 64, "height": 32}),
        ("sampler_name", "DPM++ 2M Karras", {"sampler": "dpm++2m-karras"}),
        ("sampler_name", "euler_ancestral", {"sampler": "euler-a"}),
        ("sampler", "Euler a", {"sampler": "euler-a"}),
        ("sampler", "EulerDiscreteScheduler", {"sampler": "euler"}),
        ("lora", "ink:0.5", {"loras": (("ink", 0.5),)}),
        ("lora", "<lora:ink:0.5> <lora:paper>", {"loras": (("ink", 0.5), ("paper", 1.0))}),
        ("checkpoint", "commonart-mini", {"model": "commonart-mini"}),
        ("x_cfg", "7", {"extra": {"cfg": "7"}}),
    ],
)
def test_columns_of_other_programs_are_settings(
    rows: Any, notes: list[str], column: str, value: str, settings: dict[str, Any]
) -> None:
    table = rows("a.tsv", f"positive_prompt\t{column}\ncat\t{value}\n", note=notes.append)
    assert table == [PromptRow(2, "cat", settings)] and notes == []
    if not any(isinstance(found, (int, float)) for found in settings.values()):
        assert rows("a.jsonl", json.dumps({"prompt": "cat", column: value}))[0].settings == settings


def test_every_alias_is_a_setting_of_ours() -> None:
    for alias, setting in other_tools.ALIASES.items():
        assert setting in other_tools.SETTINGS + other_tools.PLACES and other_tools.setting_of(alias.upper()) == setting
        assert alias not in other_tools.SETTINGS and not other_tools.is_foreign(alias)
    for name in SAMPLERS:
        assert other_tools.sampler_named(name) == other_tools.sampler_named(SAMPLER_NAMES[name]) == name
    assert other_tools.sampler_named("DPM++ 2M", "Karras") == "dpm++2m-karras"
    assert other_tools.sampler_named("Euler", "Automatic") == "euler"
    assert other_tools.sampler_named("Euler", "Karras") is None is other_tools.sampler_named("dpmpp_2m_sde_gpu")


@pytest.mark.parametrize(
    ("column", "near"), [("negatve", "negative"), ("cfg_scael", "guidance"), ("setps", "steps"), ("hieght", "height")]
)
def test_a_column_that_nearly_is_a_setting_is_noted(rows: Any, notes: list[str], column: str, near: str) -> None:
    assert rows("a.csv", f"prompt,{column}\na,1\nb,2\n", note=notes.append)[0].settings == {"extra": {column: "1"}}
    assert len(notes) == 1 and repr(column) in notes[0] and notes[0].endswith(near)
    line = json.dumps({"prompt": "a", column: "1"}) + "\n"
    rows("a.jsonl", line * 3, note=notes.append)
    assert len(notes) == 2


def test_a_setting_that_only_others_have_is_noted(rows: Any, notes: list[str]) -> None:
    rows("a.csv", "prompt,clip_skip,artist,x_scheduler\na,2,me,karras\n", note=notes.append)
    assert len(notes) == 1 and "'clip_skip'" in notes[0]


def test_two_columns_for_one_setting(rows: Any) -> None:
    assert "guidance" in str(refusal(rows, "a.csv", "prompt,cfg,guidance_scale\na,1,2\n"))
    assert "'neg'" in str(refusal(rows, "a.jsonl", '{"prompt": "a", "neg": "b", "negative_prompt": "c"}'))
    refusal(rows, "a.csv", "prompt,output_dir\na,/tmp\n")


def test_a_seed_of_minus_one_is_random(rows: Any) -> None:
    assert rows("a.csv", "prompt,seed\na,-1\n")[0].settings == {"seed": None}
    assert rows("a.jsonl", '{"prompt": "a", "seed": -1}')[0].settings == {"seed": None}
    for bad in ("-2", str(2**63), "9" * 25):
        said = str(refusal(rows, "a.csv", f"prompt,seed\na,{bad}\n"))
        assert "-1 for a random one" in said
        with pytest.raises(BadValue, match="-1 for a random one"):
            ImageRequest(prompt="a", seed=int(bad))


# comments ---------------------------------------------------------------------------------------------------------


def test_comments_are_counted_and_can_be_escaped(rows: Any, notes: list[str]) -> None:
    text = "# coding: utf-8\n#ff0000 ball\n  # no\n\\#00ff00 ball\n \\# sign\n\\\\# two\n"
    found = [row.prompt for row in rows("a.txt", text, note=notes.append)]
    assert found == ["#00ff00 ball", "# sign", "\\\\# two"]
    assert len(notes) == 1 and "2 line(s)" in notes[0]
    assert rows("a.csv", "prompt\n#ff0000 ball\n", note=notes.append)[0].prompt == "#ff0000 ball" and len(notes) == 1
    rows("b.txt", "a\n", note=notes.append)
    assert len(notes) == 1


def test_options_in_a_text_file_are_refused(rows: Any) -> None:
    for line in (
        '--prompt "a cat" --steps 20',
        "--negative_prompt x --prompt y",
        "--cfg-scale=3 cat",
        "--batch_size 4",
    ):
        assert "--" in str(refusal(rows, "a.txt", f"fine\n{line}\n"))
    assert rows("a.txt", "--- a line ---\n--dramatic sky\n")[1].prompt == "--dramatic sky"


# dialects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("head", ["sep={}\r\n", '"sep={}"\n', "# coding: utf-8\nSEP={}\n\n"])
def test_the_first_line_may_name_the_delimiter(rows: Any, head: str, sign: str) -> None:
    text = head.format(sign) + sign.join(("prompt", "seed")) + "\n" + sign.join(("red apple", "1")) + "\n"
    (row,) = rows("a.csv", text)
    assert (row.prompt, row.settings) == ("red apple", {"seed": 1})


def test_quotes_may_stand_after_a_space(rows: Any) -> None:
    text = 'prompt, seed, note\n"red apple, on white", 1, "a, b"\n  "b", 2,  c\n'
    assert [(row.prompt, row.settings["seed"], row.settings["extra"]["note"]) for row in rows("a.csv", text)] == [
        ("red apple, on white", 1, "a, b"),
        ("b", 2, "c"),
    ]
    assert "double quotes" in str(refusal(rows, "a.csv", "prompt,seed\nred apple, on white, 1\n"))


def test_a_delimiter_that_is_not_clear_is_asked_for(rows: Any) -> None:
    for text in ("prompt,seed\ncat;5\n", "prompt;negative\na cat, sitting\n", "prompt\tsteps\ncat,5\n"):
        assert "--delimiter" in str(refusal(rows, "a.csv", text))
    assert rows("a.csv", "prompt;seed\na cat, sitting\n")[0].prompt == "a cat, sitting"  # no seed that way
    assert rows("a.csv", "prompt;negative\na cat, sitting\n", delimiter=";")[0].prompt == "a cat, sitting"
    assert rows("a.csv", "sep=,\nprompt,negative\na cat; sitting\n")[0].prompt == "a cat; sitting"
    assert rows("a.csv", "prompt|seed\ncat|5\n", delimiter="pipe")[0].settings == {"seed": 5}
    assert rows("a.csv", "prompt\tseed\ncat\t5\n", delimiter="\\t")[0].settings == {"seed": 5}
    assert "--delimiter" in str(refusal(rows, "a.csv", "prompt|seed\ncat|5\n"))
    assert "'promt'" in str(refusal(rows, "a.csv", "promt,seed\ncat,5\n"))
    for bad in ("", "ab", '"', " ", "a", "\n", "\0"):
        refusal(rows, "a.csv", "prompt\na\n", BadValue, delimiter=bad)


CELL = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")) | st.sampled_from(' ,;\t"'), max_size=12
)


@given(
    st.lists(st.tuples(CELL.filter(str.strip), CELL, st.none() | st.integers(-1, 2**63 - 1)), min_size=1, max_size=4),
    st.sampled_from(",;\t"),
    st.sampled_from(["seed", "noise_seed"]),
    st.sampled_from(["", "sep={}\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_csv_module_writes_is_read_back(
    tmp_path: Path, cells: list[Any], sign: str, seed: str, head: str, encoding: str
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=sign, quoting=csv.QUOTE_ALL)
    writer.writerow(["prompt", "negative_prompt", seed])
    writer.writerows([[p, n, "" if s is None else s] for p, n, s in cells])
    path = tmp_path / "trip.csv"
    path.write_bytes((head.format(sign) + text.getvalue()).encode(encoding))
    found = list(read(path))
    nfc = promptfile.unicodedata.normalize
    assert [row.prompt for row in found] == [nfc("NFC", p.strip()) for p, _, _ in cells]
    for row, (_, negative, number) in zip(found, cells, strict=True):
        wanted = {"negative": nfc("NFC", negative.strip())} if negative.strip() else {}
        assert row.settings == wanted | ({} if number is None else {"seed": None if number == -1 else number})


@given(st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20), max_size=6))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_of_a_text_file_is_a_prompt_or_counted(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("".join(line + "\n" for line in ["first", *lines]), encoding="utf-8")
    notes: list[Phrase] = []
    try:
        found = list(read(path, note=notes.append))
    except BadRow:
        return  # an option
    comments = sum(note.fields["n"] for note in notes)
    assert len(found) + comments == 1 + sum(bool(line.strip()) for line in lines)
