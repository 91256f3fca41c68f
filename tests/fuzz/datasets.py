"""Targets: records and every form of dataset that can be imported."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from engine.contract.errors import BadRow
from tests.fuzz.core import Broken, Files, Target
from tests.fuzz.mutate import damaged, dumps, lines, texts, twisted
from tests.fuzz.pictures import of_others, plain
from trainer.dataset.importers.run import run_import
from trainer.dataset.importers.source import Options
from trainer.dataset.licence.gate import check
from trainer.dataset.records import FILE, parse, read_records, scan, to_row

_ROW = {
    "file_name": "a.png",
    "text": "a cat",
    "text_ja": ["猫", "ねこ"],
    "license": "CC-BY-4.0",
    "license_url": "https://creativecommons.org/licenses/by/4.0/",
    "creator": "花子",
    "title": "t",
    "source_url": "https://example.org/1",
    "modified": True,
    "sha256": "a" * 64,
    "caption_origin": "en=human; ja=machine:x",
    "training_permission": "allowed",
    "score": 0.5,
}
_FLICKR = {
    "photoid": 5,
    "licenseurl": "http://creativecommons.org/licenses/by/2.0/",
    "licensename": "4",
    "pageurl": "http://x/5",
    "blip2_caption": "a cat",
    "jpg": "a.png",
    "url_highres": "u",
    "url_source": "s",
    "key": "a",
}
_SMITHSONIAN = {
    "title": "cup",
    "content": {
        "descriptiveNonRepeating": {
            "title": {"content": "cup"},
            "record_link": "http://x",
            "data_source": "museum",
            "online_media": {"media": [{"type": "Images", "idsId": "a", "usage": {"access": "CC0"}}]},
        },
        "freetext": {"name": [{"content": "maker"}]},
    },
}
_CSV = 'file_name,caption,license,creator\r\na.png,"a, cat",CC0-1.0,花子\r\n../b.png,x,CC-BY-4.0,\r\n'.encode()
_REUSE = b'version = 1\n[[annotations]]\npath = ["*.png", "deep/**"]\nprecedence = "aggregate"\nSPDX-FileCopyrightText = "2024 Hanako"\nSPDX-License-Identifier = "CC-BY-4.0"\n'
_REUSES = (
    _REUSE,
    _REUSE.replace(b"aggregate", b"override"),
    b"version = 1\n[[annotations]]\npath = '" + b"*a" * 30 + b"'\nSPDX-License-Identifier = 'CC0-1.0'\n",
)


def _records() -> SearchStrategy[Files]:
    return st.one_of(lines(_ROW), damaged([dumps(_ROW) + b"\n" + dumps(_ROW)])).map(lambda d: {FILE: d})


def _record(folder: Path) -> Any:
    """Every line is a record or the error of that line; a record comes back from its own row as it was."""
    found, bad = [], None
    for _, row in scan(folder):
        if isinstance(row, BadRow):
            bad = row
            continue
        if parse(json.dumps(to_row(row), ensure_ascii=False)) != row:
            raise Broken(f"{row} is another when it is read again")
        if not (folder / row.file_name).resolve().is_relative_to(folder.resolve()):
            raise Broken(f"a record lies outside: {row.file_name!r}")
        found.append([row.origin(x) for x in ("en", "ja")])
    if bad is not None and not found:
        raise bad
    return found


def _tables() -> SearchStrategy[Files]:
    picture = st.sampled_from([plain()[0]])
    yfcc = "\t".join(
        [
            "1",
            "5",
            "h",
            "u",
            "nick+name",
            *["x"] * 9,
            "",
            "",
            "http://p",
            "http://x/a.png",
            "Attribution License",
            "http://creativecommons.org/licenses/by/2.0/",
            *["1"] * 4,
            "jpg",
            "0",
        ]
    ).encode()
    table = st.one_of(
        st.one_of(lines(_ROW), lines(_FLICKR), lines(_SMITHSONIAN)).map(lambda d: ("t.jsonl", d)),
        st.one_of(lines(_ROW)).map(lambda d: (FILE, d)),
        damaged([_CSV, yfcc]).map(lambda d: ("t.csv", d)),
        damaged([_CSV]).map(lambda d: ("metadata.csv", d)),
        damaged([yfcc]).map(lambda d: ("t.tsv", d)),
    )
    return st.builds(lambda t, p: {f"from/{t[0]}": t[1], "from/a.png": p, "b.png": p}, table, picture)


def _shard(members: list[tuple[str, bytes, bytes]]) -> bytes:
    """A tar of (name, kind, data); bytes of its headers as given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, data in members:
            info = tarfile.TarInfo(name.replace("\0", "?").encode("utf-8", "replace").decode() or "x")
            info.type, info.size = kind, len(data) if kind == tarfile.REGTYPE else 0
            info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            tar.addfile(info, io.BytesIO(data) if info.size else None)
    return out.getvalue()


def _shards() -> SearchStrategy[Files]:
    picture, told = (
        plain()[0],
        {"caption": "a cat", "license": "CC0-1.0", "status": "success", "url": "http://x/a.png", "key": "000"},
    )
    name = st.one_of(
        st.sampled_from(
            (
                "000.png",
                "000.txt",
                "000.json",
                "000.ja.txt",
                "../x.png",
                "/etc/x.png",
                "a/b/001.jpg",
                "C:/x.png",
                "..\\x.png",
                ".png",
            )
        ),
        texts,
    )
    data = st.one_of(st.sampled_from((picture, b"a cat", dumps(told))), twisted(told).map(dumps), damaged([picture]))
    kind = st.sampled_from(
        (tarfile.REGTYPE,) * 5
        + (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE)
    )
    whole = _shard(
        [
            ("000.png", tarfile.REGTYPE, picture),
            ("000.json", tarfile.REGTYPE, dumps(told)),
            ("000.txt", tarfile.REGTYPE, b"x"),
        ]
    )
    return st.one_of(st.lists(st.tuples(name, kind, data), max_size=5).map(_shard), damaged([whole])).map(
        lambda d: {"from/00000.tar": d}
    )


def _reuses() -> SearchStrategy[Files]:
    picture = plain()[0]
    sidecar = b"SPDX-FileCopyrightText: 2020-2024 Hanako <h@x> https://x\nSPDX-License-Identifier: CC-BY-4.0 OR MIT\n"
    return st.builds(
        lambda t, s, c: {
            "from/REUSE.toml": t,
            "from/a.png": picture,
            "from/a.png.license": s,
            "from/deep/b.png": picture,
            "from/a.txt": c,
        },
        st.one_of(
            damaged(_REUSES),
            st.lists(
                st.sampled_from((*_REUSES, b"version = 1\nannotations = 5\n", b"[[annotations]]\npath = 5\n")),
                max_size=2,
            ).map(b"".join),
        ),
        damaged([sidecar]),
        damaged([b"a cat\na dog\n", "猫".encode("cp932")]),
    )


def _import(folder: Path) -> Any:
    """Nothing is taken in under a name outside; what was refused leaves no folder behind."""
    done = False
    try:
        answer = run_import(folder / "to", folder / "from", Options(license="CC0-1.0")).as_data()
        done = True
    finally:
        if not done and (folder / "to").exists():
            raise Broken(f"a refused import left {[p.name for p in (folder / 'to').iterdir()]}")
    if answer["found"] != answer["added"] + answer["already"] + answer["read"] + answer["skipped"]:
        raise Broken(f"what was found is not all accounted for: {answer}")
    if not answer["added"]:
        if (folder / "to").exists():
            raise Broken("an import that took nothing made a folder")
        return answer
    names = {r.file_name for r in read_records(folder / "to")}
    there = {p.relative_to(folder / "to").as_posix() for p in (folder / "to").rglob("*") if p.is_file()} - {FILE}
    if names != there or len(names) != answer["added"]:
        raise Broken(f"records {names}, files {there}, told {answer['added']}")
    return answer


def _checks() -> SearchStrategy[Files]:
    pictures = st.one_of(damaged(plain()), damaged([*plain(), *of_others()]))
    return st.builds(
        lambda m, a, b: {f"set/{FILE}": m, "set/a.png": a, "set/b.png": b},
        st.one_of(
            lines(_ROW),
            st.just(dumps(_ROW) + b"\n" + dumps(_ROW | {"file_name": "b.png"})),
            st.just("猫".encode("cp932")),
        ),
        pictures,
        pictures,
    )


def _check(folder: Path) -> Any:
    return check(folder / "set", "commercial", full=True, write=False).as_data()


_COCO = {
    "images": [{"id": 1, "file_name": "a.png", "license": 4}],
    "licenses": [{"id": 4, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"}],
    "annotations": [{"image_id": 1, "caption": "a cat"}],
}
_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:cc="http://creativecommons.org/ns#"><cc:license'
    b' rdf:resource="https://creativecommons.org/licenses/by/4.0/"/></rdf:Description></rdf:RDF></x:xmpmeta>'
)


def _evidence() -> SearchStrategy[Files]:
    """Everything beside an image that may state a licence, one of them damaged."""
    whole = {
        "from/a.json": dumps(_ROW),
        "from/a.xmp": _XMP,
        "from/metadata.jsonl": dumps(_ROW) + b"\n" + dumps(_ROW | {"file_name": "b.png"}),
        "from/a.png.license": b"SPDX-License-Identifier: CC-BY-4.0\n",
        "from/.reuse/dep5": b"Format: x\n\nFiles: *\nCopyright: 2024 Hanako\nLicense: CC-BY-4.0\n",
        "from/LICENSE": b"https://creativecommons.org/licenses/by/4.0/\n",
        "from/README.md": b"---\nlicense:\n- cc-by-4.0\n---\nAll under CC BY 4.0.\n",
        "from/instances.json": dumps(_COCO),
        "from/a.txt": "赤いりんご\nLicense: CC BY 4.0".encode("utf-16"),
        "from/list.csv": b'sep=;\r\nfile;rights\r\na.png; "CC BY 4.0"\r\n',
    }
    images = st.one_of(st.sampled_from((plain()[0], *of_others()[:5])), damaged([*of_others()[:5]]))

    def one(name: str) -> SearchStrategy[Files]:
        bad = st.one_of(damaged([whole[name]]), texts.map(lambda t: t.encode("utf-8", "surrogatepass")))
        kept = st.sets(st.sampled_from(sorted(whole)), max_size=4)
        return st.builds(
            lambda b, k, i: {n: whole[n] for n in k} | {name: b, "from/a.png": i, "from/b.png": plain()[0]},
            bad,
            kept,
            images,
        )

    return st.sampled_from(sorted(whole)).flatmap(one)


TARGETS = (
    Target("evidence", "statements of licences beside images and inside them", _evidence, _import),
    Target("records", "metadata.jsonl", _records, _record),
    Target("tables", "imports of tables and ImageFolders", _tables, _import),
    Target("shards", "imports of tar archives", _shards, _import),
    Target("reuse", "imports of REUSE folders", _reuses, _import),
    Target("gate", "the licence check of a folder", _checks, _check),
)
