"""Importers: what each form says arrives in the records.

What is unsafe or unclear is refused whole, with nothing left behind.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contract.errors import (
    BadFile,
    BadRow,
    BadValue,
    CommonArtError,
    MissingLibrary,
    NoLicence,
    NotUtf8,
    UnknownImport,
    UnsafeArchive,
)
from tests.support.images import COLOURS, SHAPES, draw, make_dataset, png
from tests.support.paths import ROOT
from trainer.dataset.evidence.reuse import glob, holder
from trainer.dataset.files import name_problem, safe_name, sha256_of
from trainer.dataset.importers.run import FORMATS, ImportResult, detect, run_import
from trainer.dataset.importers.source import Options
from trainer.dataset.licence.gate import check
from trainer.dataset.records import FILE, Record, read_records

_numbers = itertools.count()
BY = "https://creativecommons.org/licenses/by/2.0/"


def picture(seed: int) -> bytes:
    rng = random.Random(seed)
    return png(
        draw(
            rng.choice(list(SHAPES)),
            rng.choice(list(COLOURS.values()))[1],
            (240, 240, 240),
            size=48,
            style="plain",
            rng=rng,
        )
    )


def folder_of(root: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def take(
    tmp_path: Path, source: Path, form: str = "auto", link: bool = False, **options: Any
) -> tuple[ImportResult, dict[str, Record]]:
    done = run_import(tmp_path / "out", source, Options(**options), form=form, link=link)
    return done, {r.file_name: r for r in read_records(tmp_path / "out")}


# plain ----------------------------------------------------------------------------------------------------------------


def test_plain_folder_with_captions_in_two_languages(tmp_path: Path) -> None:
    source = folder_of(
        tmp_path / "in",
        {
            "a.png": picture(1),
            "a.txt": "a cat\nthe same cat\n",
            "a.ja.txt": "猫",
            "sub/b.png": picture(2),
            "c.gif": b"GIF89a",
        },
    )
    with pytest.raises(NoLicence):
        run_import(tmp_path / "out", source, Options())
    assert not (tmp_path / "out").exists()
    done, rows = take(
        tmp_path, source, license="CC-BY-4.0", creator="私", source_url="https://x.example/", caption_origin="human"
    )
    assert (done.form, done.added) == ("plain", 2) and set(rows) == {"a.png", "sub/b.png"}
    a = rows["a.png"]
    assert (
        a.text == ("a cat", "the same cat")
        and a.text_ja == ("猫",)
        and a.creator == "私"
        and a.caption_origin == "human"
    )
    assert a.license_url == "https://creativecommons.org/licenses/by/4.0/" and a.sha256 == sha256_of(source / "a.png")
    assert rows["sub/b.png"].caption_origin == "" and (source / "a.png").is_file()  # copied, never moved
    report = check(tmp_path / "out")
    assert report.passed and [f.rule for f in report.findings] == ["caption-empty"]


def test_a_second_import_adds_only_what_is_new(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", {"a.png": picture(1)})
    take(tmp_path, source, license="CC0-1.0")
    folder_of(source, {"a.png": picture(2), "b.png": picture(1)})
    done, rows = take(tmp_path, source, license="MIT")
    assert (
        done.added == 2
        and set(rows) == {"a.png", "a-2.png", "b.png"}
        and rows["a.png"].license == "CC0-1.0"
        and rows["a-2.png"].license == "MIT"
    )
    done, rows = take(tmp_path, source, license="MIT")
    assert (done.added, done.already) == (1, 1) or (done.added, done.already) == (0, 2)
    assert len({r.sha256 for r in rows.values()}) == 2


def test_links_leave_pictures_where_they_are(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", {"a.png": picture(1)})
    take(tmp_path, source, license="CC0-1.0", link=True)
    assert (tmp_path / "out" / "a.png").samefile(source / "a.png")
    assert check(tmp_path / "out").passed


def test_shift_jis_captions_are_named_and_then_read(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", {"a.png": picture(1), "a.ja.txt": "赤いりんご".encode("cp932")})
    with pytest.raises(NotUtf8, match=r"a\.ja\.txt.*cp932"):
        run_import(tmp_path / "out", source, Options(license="CC0-1.0"))
    assert not (tmp_path / "out").exists()
    assert take(tmp_path, source, license="CC0-1.0", encoding="cp932")[1]["a.png"].text_ja == ("赤いりんご",)


def test_pictures_that_cannot_be_used_are_counted_and_left_out(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "GIF")
    source = folder_of(
        tmp_path / "in",
        {"a.png": picture(1), "text.png": b"hello", "gif.jpg": out.getvalue(), "jpeg-inside.png": _jpeg()},
    )
    done, rows = take(tmp_path, source, license="CC0-1.0")
    assert set(rows) == {"a.png", "gif.gif", "jpeg-inside.jpg"} and done.skipped.count == 1
    assert {n for _, names, _ in done.skipped.reasons.values() for n in names} == {"text.png"}


def _jpeg() -> bytes:
    out = io.BytesIO()
    draw("ring", (1, 99, 200), (255, 255, 255), size=48, style="night", rng=random.Random(8)).save(out, "JPEG")
    return out.getvalue()


def test_wrong_options_and_places(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", {"a.png": picture(1)})
    for options in ({"license": "whatever"}, {"license": "MIT", "encoding": "klingon"}):
        with pytest.raises(BadValue):
            run_import(tmp_path / "out", source, Options(**options))
    with pytest.raises(BadValue, match="inside"):
        run_import(source / "sub", source, Options(license="MIT"))
    with pytest.raises(BadFile):
        run_import(tmp_path / "out", tmp_path / "none", Options(license="MIT"))
    with pytest.raises(UnknownImport):
        run_import(tmp_path / "out", folder_of(tmp_path / "empty", {"x.doc": b""}), Options(license="MIT"))


# REUSE ----------------------------------------------------------------------------------------------------------------

REUSE = """version = 1
[[annotations]]
path = "**"
SPDX-FileCopyrightText = "2024 Whole Studio <a@b.example>"
SPDX-License-Identifier = "CC0-1.0"
[[annotations]]
path = ["forced/**", "f\\\\*.png"]
precedence = "override"
SPDX-FileCopyrightText = ["Copyright (c) 2020-2022 Agnes", "© 2021 Berta"]
SPDX-License-Identifier = "CC-BY-4.0"
[[annotations]]
path = "more/*"
precedence = "aggregate"
SPDX-FileCopyrightText = "2023 Carla"
SPDX-License-Identifier = ["MIT"]
"""


def test_reuse_tables_and_side_files(tmp_path: Path) -> None:
    side = "SPDX-FileCopyrightText: 2019 Dora\nSPDX-License-Identifier: CC-BY-SA-4.0\n"
    source = folder_of(
        tmp_path / "in",
        {
            "REUSE.toml": REUSE,
            "a.png": picture(1),
            "b.png": picture(2),
            "b.png.license": side,
            "forced/c.png": picture(3),
            "forced/c.png.license": side,
            "more/d.png": picture(4),
            "more/d.png.license": side,
            "e.png": picture(5),
            "e.png.license": "SPDX-FileCopyrightText: 2019 Emma\n",
            "deep/REUSE.toml": 'version = 1\n[[annotations]]\npath = "g.png"\n'
            'SPDX-License-Identifier = "MIT OR Apache-2.0"\n',
            "deep/g.png": picture(6),
        },
    )
    assert detect(source, Options())[1] == "reuse"
    done, rows = take(tmp_path, source)
    told = {n: (r.license, r.creator) for n, r in rows.items()}
    assert done.form == "reuse" and told == {
        "a.png": ("CC0-1.0", "Whole Studio"),
        "b.png": ("CC-BY-SA-4.0 AND CC0-1.0", "Dora"),
        "forced/c.png": ("CC-BY-SA-4.0 AND CC-BY-4.0", "Agnes, Berta"),
        "more/d.png": ("CC-BY-SA-4.0 AND MIT", "Dora, Carla"),
        "e.png": ("CC0-1.0", "Emma"),
        "deep/g.png": ("CC0-1.0 AND (MIT OR Apache-2.0)", "Whole Studio"),
    }


def test_reuse_without_a_licence_is_asked_for(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", {"REUSE.toml": "version = 1\n", "a.png": picture(1)})
    with pytest.raises(NoLicence, match=r"a\.png"):
        run_import(tmp_path / "out", source, Options())
    for text, why in (
        ("version = 2\n", "version"),
        ('version = 1\n[[annotations]]\nprecedence = "x"\n', "precedence"),
        ("x =", "TOML"),
        ("version = 1\n[[annotations]]\npath = 4\n", "path"),
    ):
        (source / "REUSE.toml").write_text(text)
        with pytest.raises(BadFile, match=why):
            run_import(tmp_path / "out", source, Options())


def test_reuse_globs_and_holders() -> None:
    assert (
        glob("a/*.png").match("a/b.png") and not glob("a/*.png").match("a/b/c.png") and glob("a/**").match("a/b/c.png")
    )
    assert glob("a\\*.png").match("a*.png") and not glob("a\\*.png").match("ab.png") and not glob("*").match("a/b")
    assert [
        holder(x)
        for x in ("2020-2022 Jane Doe <j@x.example>", "Copyright 2020 Foo Inc.", "© 2019, 2021 株式会社", "Only Name")
    ] == ["Jane Doe", "Foo Inc.", "株式会社", "Only Name"]


# tables ---------------------------------------------------------------------------------------------------------------


def test_csv_with_any_delimiter_and_other_names(tmp_path: Path) -> None:
    source = folder_of(
        tmp_path / "in",
        {
            "p/a.png": picture(1),
            "p/b.png": picture(2),
            "t.csv": "filename;caption;licence;author;rating\n"
            'p/a.png;"a; b";CC BY 4.0;Jane;5\np/none.png;x;MIT;J;1\nb.png;;Attribution License;Jo;\n',
        },
    )
    done, rows = take(tmp_path, source / "t.csv")
    assert (done.form, done.added, done.skipped.count) == ("table", 2, 1)
    a = rows["p/a.png"]
    assert a.text == ("a; b",) and a.license == "CC-BY-4.0" and a.creator == "Jane" and a.extra == {"rating": "5"}
    assert rows["p/b.png"].license == "Attribution License"  # which version? the gate will ask, we do not guess
    assert ("licence-unreadable", "p/b.png") in [(f.rule, f.file) for f in check(tmp_path / "out").blocking()]


def test_a_table_may_not_take_pictures_from_elsewhere(tmp_path: Path) -> None:
    folder_of(tmp_path, {"secret.png": picture(9)})
    source = folder_of(
        tmp_path / "in",
        {
            "a.png": picture(1),
            "t.jsonl": json.dumps({"file_name": "../secret.png", "license": "MIT"})
            + "\n"
            + json.dumps({"file_name": str(tmp_path / "secret.png"), "license": "MIT"})
            + "\n",
        },
    )
    done = run_import(tmp_path / "out", source / "t.jsonl", Options())
    assert done.added == 0 and done.skipped.count == 2 and not (tmp_path / "out").exists()


def test_bad_tables_name_their_line_and_leave_nothing(tmp_path: Path) -> None:
    folder_of(tmp_path / "in", {"a.png": picture(1)})
    for name, text, line in (
        ("t.csv", "file_name,license\na.png,MIT\na.png,MIT,extra,more\n", 3),
        ("t.jsonl", '{"file_name": "a.png", "license": "MIT"}\n{]\n', 2),
    ):
        (tmp_path / "in" / name).write_text(text)
        with pytest.raises(BadRow, match=f"line {line}"):
            run_import(tmp_path / "out", tmp_path / "in" / name, Options())
        assert not (tmp_path / "out").exists()


def test_yfcc100m_without_header(tmp_path: Path) -> None:
    cells = [""] * 25
    for n, value in {
        0: "7",
        1: "123",
        3: "77@N00",
        4: "Some+One",
        8: "A+bridge",
        9: "over%20the+river",
        15: "http://flickr.example/p/123/",
        16: "http://farm.example/4/123_abc.jpg",
        17: "Attribution License",
        18: BY,
        23: "jpg",
        24: "0",
    }.items():
        cells[n] = value
    source = folder_of(tmp_path / "in", {"yfcc.tsv": "\t".join(cells) + "\n", "123_abc.jpg": _jpeg()})
    done, rows = take(tmp_path, source)
    r = rows["123_abc.jpg"]
    assert done.form == "yfcc100m" and (r.license, r.creator, r.title, r.text) == (
        "CC-BY-2.0",
        "Some One",
        "A bridge",
        ("over the river",),
    )
    assert r.source_url == "http://flickr.example/p/123/" and check(tmp_path / "out").passed


def test_commoncatalog_and_megalith_columns(tmp_path: Path) -> None:
    rows_in = [
        {
            "key": "00001",
            "blip2_caption": "a bridge",
            "licensename": "Attribution License",
            "licenseurl": BY,
            "unickname": "Bo",
            "title": "T",
            "pageurl": "http://f.example/1",
        }
    ]
    source = folder_of(tmp_path / "cc", {"m.jsonl": json.dumps(rows_in[0]) + "\n", "00001.jpg": _jpeg()})
    done, rows = take(tmp_path, source)
    r = rows["00001.jpg"]
    assert done.form == "commoncatalog" and (r.license, r.text, r.caption_origin) == (
        "CC-BY-2.0",
        ("a bridge",),
        "machine:BLIP-2",
    )
    row = {
        "url_source": "http://f.example/p/9",
        "url_highres": "http://live.example/9_b.png",
        "license": "8",
        "width": 48,
    }
    source = folder_of(tmp_path / "mega", {"m.jsonl": json.dumps(row) + "\n", "9_b.png": picture(3)})
    done, rows = take(tmp_path, source)
    assert done.form == "megalith" and rows["9_b.png"].license == "LicenseRef-US-Government-Work"
    assert (
        rows["9_b.png"].extra == {"width": 48, "url_highres": "http://live.example/9_b.png"}
        and rows["9_b.png"].source_url == "http://f.example/p/9"
    )


def test_smithsonian_records(tmp_path: Path) -> None:
    def record(access: str, name: str) -> dict[str, Any]:
        return {
            "id": "x",
            "title": "A vase",
            "content": {
                "descriptiveNonRepeating": {
                    "title": {"content": "A vase"},
                    "record_link": "https://si.example/x",
                    "data_source": "A Museum",
                    "online_media": {"media": [{"type": "Images", "idsId": name, "usage": {"access": access}}]},
                },
                "freetext": {"name": [{"label": "Artist", "content": "Ko"}]},
            },
        }

    lines = [json.dumps(record(a, n)) for a, n in (("CC0", "V-1"), ("Usage conditions apply", "V-2"), ("CC0", "V-3"))]
    source = folder_of(
        tmp_path / "in",
        {
            "si.jsonl": "\n".join([*lines, json.dumps({"content": {"descriptiveNonRepeating": {}}})]),
            "V-1.jpg": _jpeg(),
            "V-2.png": picture(2),
        },
    )
    done, rows = take(tmp_path, source)
    assert done.form == "smithsonian" and {n: r.license for n, r in rows.items()} == {
        "V-1.jpg": "CC0-1.0",
        "V-2.png": "Usage conditions apply",
    }
    assert (
        rows["V-1.jpg"].creator == "Ko"
        and rows["V-1.jpg"].source_url == "https://si.example/x"
        and done.skipped.count == 2
    )
    assert [f.file for f in check(tmp_path / "out").blocking()] == ["V-2.png"]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    source = folder_of(tmp_path / "in", {"x.parquet": b"PAR1"})
    with pytest.raises(MissingLibrary, match="pyarrow"):
        run_import(tmp_path / "out", source, Options(license="MIT"))


def test_imagefolder_gets_its_hashes(tmp_path: Path) -> None:
    source = make_dataset(tmp_path / "in", 4, size=48)
    rows = [
        json.loads(x) | {"sha256": "", "score": 3} for x in (source / FILE).read_text(encoding="utf-8").splitlines()
    ]
    (source / FILE).write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    done, taken = take(tmp_path, source)
    assert (
        done.form == "imagefolder"
        and len(taken) == 4
        and all(r.extra == {"score": 3} and r.text_ja for r in taken.values())
    )
    assert check(tmp_path / "out").passed and not check(source).passed
    (source / FILE).unlink()
    with (source / "metadata.csv").open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerows([["file_name", "caption"], *[[r["file_name"], "c"] for r in rows]])
    run_import(tmp_path / "two", source, Options(license="CC0-1.0"))
    assert [r.text for r in read_records(tmp_path / "two")] == [("c",)] * 4


# shards ---------------------------------------------------------------------------------------------------------------


def tar(path: Path, members: list[tuple[str | tarfile.TarInfo, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as t:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            if isinstance(name, str):
                info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return path


def test_webdataset_shards(tmp_path: Path) -> None:
    meta = {
        "url": "http://x.example/1.jpg",
        "caption": "from json",
        "key": "000",
        "status": "success",
        "license": BY,
        "creator": "Bo",
        "sha256": "old",
    }
    path = tar(
        tmp_path / "00000.tar",
        [
            ("000.jpg", _jpeg()),
            ("000.txt", b"from txt"),
            ("000.ja.txt", "橋".encode()),
            ("000.json", json.dumps(meta).encode()),
            ("001.png", picture(1)),
            ("001.json", b"{broken"),
            ("002.json", b'{"status": "failed"}'),
            ("002.jpg", b""),
        ],
    )
    done, rows = take(tmp_path, path, license="CC0-1.0")
    a, b = rows["00000/000.jpg"], rows["00000/001.png"]
    assert done.form == "webdataset" and done.added == 2 and done.skipped.count == 1
    assert (a.text, a.text_ja, a.license, a.creator, a.source_url) == (
        ("from txt",),
        ("橋",),
        "CC-BY-2.0",
        "Bo",
        "http://x.example/1.jpg",
    ) and b.license == "CC0-1.0"
    assert check(tmp_path / "out").passed


def _link() -> tarfile.TarInfo:
    info = tarfile.TarInfo("a.png")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


@pytest.mark.parametrize("bad", ["../../evil.png", "/abs.png", "a/../../b.png", "C:/x.png", "..\\x.png", "link"])
def test_archives_that_reach_out_are_refused_whole(tmp_path: Path, bad: str) -> None:
    path = tar(tmp_path / "x.tar", [("000.png", picture(1)), (_link(), b"") if bad == "link" else (bad, picture(2))])
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UnsafeArchive):
        run_import(tmp_path / "out", path, Options(license="MIT"))
    assert set(tmp_path.rglob("*")) == before


def test_archives_that_swell_are_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar.gz", [(f"{n}.txt", bytes(3_000_000)) for n in range(8)], "w:gz")
    assert path.stat().st_size < 100_000
    with pytest.raises(UnsafeArchive, match="times its size"):
        run_import(tmp_path / "out", path, Options(license="MIT"))
    path = tar(tmp_path / "y.tar", [("a.txt", bytes(5_000_000))])
    with pytest.raises(UnsafeArchive, match="larger"):
        run_import(tmp_path / "out", path, Options(license="MIT"))
    whole = tar(tmp_path / "z.tar", [("000.png", picture(1)), ("001.png", picture(2))]).read_bytes()
    (tmp_path / "z.tar").write_bytes(whole[: len(picture(1)) + 1200])
    with pytest.raises(BadFile):
        run_import(tmp_path / "out", tmp_path / "z.tar", Options(license="MIT"))
    assert not (tmp_path / "out").exists()


# anything -------------------------------------------------------------------------------------------------------------


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    data=st.binary(max_size=300),
    name=st.sampled_from(
        ["t.csv", "t.tsv", "t.jsonl", "REUSE.toml", "x.tar", "x.tgz", "a.png.license", "metadata.csv"]
    ),
    form=st.sampled_from(["auto", *FORMATS]),
)
def test_any_bytes_are_an_import_or_a_sentence(tmp_path: Path, data: bytes, name: str, form: str) -> None:
    source = tmp_path / "fuzz"
    for old in source.glob("*") if source.exists() else ():
        old.unlink()
    folder_of(source, {"a.png": picture(1), name: data})
    out = tmp_path / f"out{next(_numbers)}"
    try:
        run_import(out, source, Options(license="CC0-1.0"), form=form)
    except CommonArtError as e:
        assert str(e) and not out.exists()
    else:
        assert not out.exists() or list(read_records(out))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_name_becomes_one_that_every_system_can_hold(name: str) -> None:
    made = safe_name(name, ".png")
    assert name_problem(made) is None and made.endswith(".png") and safe_name(made) == made
    for part in made.split("/"):
        assert (
            part.split(".")[0].lower() not in ("con", "nul", "com1") and not part.startswith(".") and len(part) <= 130
        )


def test_the_command_line_imports_reports_and_shows(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", {"猫.png": picture(1), "猫.txt": "a cat", "broken.png": b"no"})

    def run(*arguments: str, language: str = "ja") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "commonart_desktop", "dataset", *arguments],
            cwd=ROOT,
            encoding="utf-8",
            capture_output=True,
            env=os.environ | {"COMMONART_LANG": language},
            check=False,
        )

    out = str(tmp_path / "out")
    asked = run("import", out, "--from", str(source))
    assert asked.returncode == 2 and "--license" in asked.stderr and not (tmp_path / "out").exists()
    done = run(
        "import",
        out,
        "--from",
        str(source),
        "--license",
        "CC-BY-4.0",
        "--creator=--名前",
        "--source-url",
        "https://x.example",
    )
    assert done.returncode == 0 and "1 枚を取り込みました" in done.stdout and "broken.png" in done.stderr
    assert "見つかったもの 3 件の内訳: 取り込み済みの画像 1" in done.stdout
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "broken.png").write_bytes(b"no")
    none = run("import", out + "-2", "--from", str(tmp_path / "nothing"), "--license", "CC0-1.0", "--json")
    told = json.loads(none.stdout)
    assert none.returncode == 1 and not Path(out + "-2").exists() and (told["found"], told["skipped"]) == (1, 1)
    shown = run("show", out, "猫.png")
    assert shown.returncode == 0 and "creator: --名前" in shown.stdout and "記録と同じ" in shown.stdout
    report = json.loads(run("report", out, "--json").stdout)
    assert report["licences"] == {"CC-BY-4.0": 1} and report["captions"]["en"]["captions"] == 1
    assert run("show", out, "nothing.png", language="en").returncode == 2
    assert "Qwen2-VL" in (no := run("caption", out, language="en")).stderr and no.returncode == 2
