"""No import of a folder in which anything states a licence that is not free passes the commercial gate, wherever it
stands.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cases.build import jpeg, lines, parquet, png, png_with_late_text, tar, write, xmp
from trainer.dataset.importers.run import run_import
from trainer.dataset.importers.source import Options
from trainer.dataset.licence.gate import check

URLS = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
}
FREE = ("CC0-1.0", "CC-BY-4.0")
SPELLINGS = {
    "CC0-1.0": ("CC0-1.0", "CC0 1.0", "cc0-1.0", URLS["CC0-1.0"]),
    "CC-BY-4.0": ("CC-BY-4.0", "CC BY 4.0", "Creative Commons Attribution 4.0 International", URLS["CC-BY-4.0"]),
}
NOT_FREE = (
    "CC-BY-NC-4.0",
    "CC BY-NC 4.0",
    "https://creativecommons.org/licenses/by-nc-sa/2.0/",
    "http://creativecommons.org/licenses/by-nd/3.0/deed.ja",
    "CC-BY-ND-4.0",
    "All rights reserved",
    "https://creativecommons.org/licenses/by/4.0/nc",
    "LicenseRef-Nobody-Knows",
)
# "CC-BY" is not among them: a name without its version is completed by the one licence of that name stated elsewhere
UNKNOWN_IN_COLUMNS = (*NOT_FREE, "4", "free for personal use", "MIT, but not for AI", "CC-BY-4.0 (see notes)")
IMAGE = "set/a.png"
GIVEN = {"creator": "Jane", "source_url": "https://example.org/", "license": "CC0-1.0"}
_numbers = itertools.count()

Files = dict[str, bytes | str]
COLUMNS = (
    "license",
    "licence",
    "License",
    "license_name",
    "rights",
    "dc:rights",
    "licenceName",
    "LICENSE_URL",
    "ライセンス",
)


@dataclass(frozen=True)
class Place:
    """Where a statement stands: ``put`` adds it to the files of a source."""

    name: str
    put: Callable[[Files, str, str], None]
    any_text: bool = False  # takes every text, not only such as are found in running text


def _table(kind: str) -> Callable[[Files, str, str], None]:
    def put(files: Files, text: str, column: str) -> None:
        base = "set/" if kind.startswith("metadata") else ""
        name = "a.png" if base else IMAGE
        row: dict[str, Any] = {"file_name": name, column: text}
        if kind.endswith(".jsonl"):
            files[base + kind] = files.get(base + kind, b"") + lines(row)  # type: ignore[operator]
        elif kind.endswith(".json"):
            files[base + kind] = json.dumps([row])
        elif kind.endswith(".parquet"):
            files[base + kind] = parquet([row])
        else:
            sign = "\t" if kind.endswith(".tsv") else ","
            files[base + kind] = f'file_name{sign}"{column}"\n{name}{sign}"{text}"\n'

    return put


def _in_image(make: Callable[[str], bytes]) -> Callable[[Files, str, str], None]:
    return lambda files, text, column: files.update({IMAGE: make(text)})


def _file(name: str, form: str) -> Callable[[Files, str, str], None]:
    return lambda files, text, column: files.update({name: form.replace("{}", text)})


PLACES = [
    *(
        Place(kind, _table(kind), True)
        for kind in ("metadata.jsonl", "metadata.csv", "list.csv", "list.tsv", "metadata.json")
    ),
    *([Place("metadata.parquet", _table("metadata.parquet"), True)] if importlib.util.find_spec("pyarrow") else []),
    Place("side file", _file("set/a.png.license", "SPDX-License-Identifier: {}\n"), True),
    Place("bare side file", _file("set/a.license", "{}\n"), True),
    Place("JSON", lambda f, text, column: f.update({"set/a.json": json.dumps({"meta": {column: text}})}), True),
    Place("XMP", _file("set/a.xmp", xmp("<dc:rights>{}</dc:rights>")), True),
    Place("caption", _file("set/a.txt", "a cat\nLicense: {}\n"), True),
    Place(
        "REUSE",
        _file("REUSE.toml", 'version = 1\n[[annotations]]\npath = "**"\nSPDX-License-Identifier = "{}"\n'),
        True,
    ),
    Place("dep5", _file(".reuse/dep5", "Files: *\nCopyright: Jane\nLicense: {}\n"), True),
    Place("licence text", _file("set/LICENSE", "{}\n"), True),
    Place("licence text above", _file("COPYING.md", "{}\n"), True),
    Place("card", _file("README.md", "---\nlicense: {}\n---\n"), True),
    Place("readme", _file("set/README", "All of these are under {} here.\n")),
    Place(
        "XMP inside",
        _in_image(lambda t: png(1, {"XML:com.adobe.xmp": xmp(f"<xmpRights:UsageTerms>{t}</xmpRights:UsageTerms>")})),
        True,
    ),
    Place("EXIF inside", _in_image(lambda t: jpeg(1, exif={0x8298: t})), True),
    Place("late text inside", _in_image(lambda t: png_with_late_text(1, "License", t)), True),
]  # fmt: skip
OPTIONS = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _source(tmp_path: Path, told: list[tuple[Place, str, str]]) -> Path:
    files: Files = {IMAGE: png(1)}
    for place, text, column in told:
        place.put(files, text, column)
    return write(tmp_path / f"source{next(_numbers)}", files)


def _take(tmp_path: Path, source: Path, options: dict[str, str]) -> Path:
    folder = tmp_path / f"set{next(_numbers)}"
    done = run_import(folder, source, Options(**options)).as_data()
    assert done["found"] == done["added"] + done["already"] + done["read"] + done["skipped"], done
    assert done["added"] == 1
    return folder


def _places(texts: tuple[str, ...]) -> st.SearchStrategy[tuple[Place, str, str]]:
    return st.tuples(st.sampled_from(PLACES), st.sampled_from(texts), st.sampled_from(COLUMNS)).filter(
        lambda t: (
            t[0].any_text
            or t[1] not in ("4", "free for personal use", "MIT, but not for AI", "LicenseRef-Nobody-Knows")
        )
    )


def _distinct(told: list[tuple[Place, str, str]]) -> bool:
    """Each file is written once, and the image as well."""
    kinds = ["image" if p.name.endswith("inside") else p.name for p, _, _ in told]
    return len(set(kinds)) == len(kinds)


@OPTIONS
@given(
    bad=_places(UNKNOWN_IN_COLUMNS),
    others=st.lists(_places(FREE), max_size=3),
    licence=st.sampled_from(("CC0-1.0", "CC-BY-4.0", "LicenseRef-Own")),
    at=st.integers(0, 3),
)
def test_what_is_not_free_never_passes(tmp_path: Path, bad: Any, others: list[Any], licence: str, at: int) -> None:
    told = [*others[:at], bad, *others[at:]]
    if not _distinct(told):
        told = [bad]
    folder = _take(tmp_path, _source(tmp_path, told), GIVEN | {"license": licence})
    assert not check(folder, "commercial").passed, [(p.name, t, c) for p, t, c in told]


@OPTIONS
@given(one=_places(("CC0-1.0",)), two=_places(("CC-BY-4.0",)), flip=st.booleans())
def test_two_that_differ_never_pass(tmp_path: Path, one: Any, two: Any, flip: bool) -> None:
    told = [two, one] if flip else [one, two]
    if not _distinct(told):
        return
    folder = _take(tmp_path, _source(tmp_path, told), GIVEN)
    rules = {f.rule for f in check(folder, "commercial").blocking()}
    assert "licence-statements-differ" in rules, [(p.name, t, c) for p, t, c in told]


@OPTIONS
@given(data=st.data(), licence=st.sampled_from(FREE))
def test_where_all_agree_the_gate_passes(tmp_path: Path, data: st.DataObject, licence: str) -> None:
    told = data.draw(st.lists(_places(SPELLINGS[licence]), min_size=1, max_size=4).filter(_distinct))
    folder = _take(tmp_path, _source(tmp_path, told), GIVEN | {"license": licence})
    report = check(folder, "commercial")
    assert report.passed, [str(f.why) for f in report.findings]


@OPTIONS
@given(
    texts=st.permutations(("CC-BY-NC-4.0", "CC-BY-4.0", "")), order=st.permutations(range(6)), seed=st.integers(0, 5)
)
def test_members_of_an_archive_in_any_order(tmp_path: Path, texts: list[str], order: list[int], seed: int) -> None:
    members = [(f"{n}.png", png(n + 1)) for n in range(3)]
    members += [(f"{n}.json", json.dumps({"license": text, "caption": "a"}).encode()) for n, text in enumerate(texts)]
    source = write(tmp_path / f"source{next(_numbers)}", {"x.tar": tar(*(members[n] for n in order))})
    folder = tmp_path / f"set{next(_numbers)}"
    run_import(folder, source / "x.tar", Options(**GIVEN))
    blocked = {f.file for f in check(folder, "commercial").blocking() if f.rule == "licence"}
    assert blocked == {f"x/{n}.png" for n, text in enumerate(texts) if text == "CC-BY-NC-4.0"}
