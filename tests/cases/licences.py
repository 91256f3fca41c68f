"""Cases of licences: stated in any place and form, forgotten by none."""

from __future__ import annotations

import json

from tests.cases.build import BY, NC, iptc, jpeg, lines, parquet, png, png_with_late_text, tar, user_comment, xmp
from tests.cases.case import BY_ROW, GIVEN, NC_ROW, Case, row

DIFFER = frozenset({"licence", "licence-statements-differ"})
NAMES = (
    "license",
    "licence",
    "License_Name",
    "licensename",
    "rights",
    "dc:rights",
    "usage_terms",
    "xmpRights:UsageTerms",
    "ライセンス",
    "spdx_id",
)
CASES: dict[str, Case] = {
    "metadata in a sub-folder": Case(
        files=lambda: {
            "train/0.png": png(1),
            "train/1.png": png(2),
            "train/metadata.jsonl": lines(
                {"file_name": "0.png", "text": "a"} | NC_ROW, {"file_name": "1.png", "text": "b"} | BY_ROW
            ),
        },
        options=GIVEN,
        licences={"train/0.png": "CC-BY-NC-4.0", "train/1.png": "CC-BY-4.0"},
        captions={"train/1.png": (("b",), ())},
        rules=frozenset({"licence"}),
    ),
    "metadata.csv in a sub-folder": Case(
        files=lambda: {
            "test/0.png": png(1),
            "test/metadata.csv": "file_name,text,license\n0.png,a,CC-BY-NC-4.0\n",
        },
        options=GIVEN,
        licences={"test/0.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
    "two metadata files of two splits": Case(
        files=lambda: {
            "train/0.png": png(1),
            "test/0.png": png(2),
            "train/metadata.jsonl": row(**BY_ROW),
            "test/metadata.jsonl": row(**NC_ROW),
        },
        licences={"train/0.png": "CC-BY-4.0", "test/0.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
    "an id and an address of another licence": Case(
        files=lambda: {"0.png": png(1), "metadata.jsonl": row(**BY_ROW | {"license": "CC-BY-NC-4.0"})},
        licences={"0.png": "CC-BY-NC-4.0 AND CC-BY-4.0"},
        rules=frozenset({"licence", "licence-statements-differ", "licence-url-differs"}),
    ),
    "an address with a tail": Case(
        files=lambda: {"0.png": png(1), "metadata.jsonl": row(license_url=BY + "nc-only/")},
        rules=frozenset({"licence-unreadable"}),
    ),
    "numbers without a declared table": Case(
        files=lambda: {"0.png": png(1), "1.png": png(2), "list.csv": "file_name,license\n0.png,9\n1.png,4\n"},
        licences={"0.png": "9", "1.png": "4"},
        rules=frozenset({"licence-unreadable"}),
    ),
    "numbers with a declared table": Case(
        files=lambda: {
            "0.png": png(1),
            "1.png": png(2),
            "list.csv": "file_name,caption,license\n0.png,a,9\n1.png,b,2\n",
        },
        options={"license_table": "flickr"},
        licences={"0.png": "CC0-1.0", "1.png": "CC-BY-NC-2.0"},
        rules=frozenset({"licence", "attribution"}),
    ),
    "members of a tar in any order": Case(
        files=lambda: {
            "x.tar": tar(
                ("000.png", png(1)),
                ("001.png", png(2)),
                ("001.json", json.dumps(BY_ROW).encode()),
                ("000.json", json.dumps(NC_ROW).encode()),
                ("000.txt", b"first"),
                ("001.txt", b"second"),
            )
        },
        start="x.tar",
        options=GIVEN,
        licences={"x/000.png": "CC-BY-NC-4.0", "x/001.png": "CC-BY-4.0"},
        captions={"x/000.png": (("first",), ()), "x/001.png": (("second",), ())},
        rules=frozenset({"licence"}),
    ),
    "one member of a tar twice": Case(
        files=lambda: {
            "x.tar": tar(
                ("0.json", json.dumps(BY_ROW).encode()), ("0.png", png(1)), ("0.json", json.dumps(NC_ROW).encode())
            )
        },
        start="x.tar",
        rules=DIFFER | {"licence-url-differs"},
    ),
    "a licence file inside a tar": Case(
        files=lambda: {"x.tar": tar(("0.png", png(1)), ("0.txt", b"a"), ("LICENSE", NC.encode()))},
        start="x.tar",
        options=GIVEN,
        licences={"x/0.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
    "a table beside archives": Case(
        files=lambda: {
            "00000.tar": tar(("000000001.jpg", jpeg(1)), ("000000001.txt", b"a")),
            "00000.csv": "key,license\n000000001,CC-BY-NC-4.0\n",
        },
        options=GIVEN,
        licences={"00000/000000001.jpg": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
    "two rows for one file": Case(
        files=lambda: {
            "0.png": png(1),
            "metadata.jsonl": row(**BY_ROW) + lines({"file_name": "0.png", "text": "another"} | NC_ROW),
        },
        captions={"0.png": (("a shape", "another"), ())},
        rules=DIFFER,
    ),
    "two tables for one file": Case(
        files=lambda: {
            "0.png": png(1),
            "metadata.jsonl": row(**BY_ROW),
            "more.csv": "filename;rights\n0.png;CC BY-NC 4.0\n",
        },
        rules=DIFFER,
    ),
    "a side file beside a metadata file": Case(
        files=lambda: {
            "0.png": png(1),
            "metadata.jsonl": row(**BY_ROW),
            "0.png.license": "SPDX-License-Identifier: CC-BY-NC-4.0\n",
        },
        rules=DIFFER,
    ),
    "a JSON file beside a metadata file": Case(
        files=lambda: {
            "0.png": png(1),
            "metadata.jsonl": row(**BY_ROW),
            "0.json": json.dumps({"license": {"name": "CC BY-NC 4.0"}}),
        },
        rules=DIFFER,
    ),
    "an XMP file beside an image": Case(
        files=lambda: {"0.png": png(1), "0.txt": "a", "0.xmp": xmp(f'<cc:license rdf:resource="{NC}"/>')},
        options=GIVEN,
        licences={"0.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
    "a licence in a caption": Case(
        files=lambda: {"0.png": png(1), "0.txt": "a cat\nLicense: CC BY-NC 4.0"},
        options=GIVEN,
        licences={"0.png": "CC0-1.0"},
        rules=frozenset({"licence-statements-differ"}),
    ),
    "REUSE.toml against a table": Case(
        files=lambda: {
            "0.png": png(1),
            "metadata.jsonl": row(**BY_ROW),
            "REUSE.toml": 'version = 1\n[[annotations]]\npath = "**"\nSPDX-License-Identifier = "CC-BY-NC-4.0"\n',
        },
        rules=DIFFER,
    ),
    "dep5": Case(
        files=lambda: {
            "a/0.png": png(1),
            "a/0.txt": "a",
            ".reuse/dep5": "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
            "Files: a/*\nCopyright: 2024 Jane Doe\nLicense: CC-BY-NC-4.0\n",
        },
        options=GIVEN,
        licences={"a/0.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
    "a licence text in a folder above": Case(
        files=lambda: {"set/train/0.png": png(1), "set/train/0.txt": "a", "LICENSE": "All rights reserved."},
        start="set",
        options=GIVEN,
        rules=frozenset({"licence-unreadable"}),
    ),
    "a licence text that is not known": Case(
        files=lambda: {"0.png": png(1), "0.txt": "a", "LICENSE.txt": "You may look at these images on Sundays."},
        options=GIVEN,
        rules=frozenset({"licence-unreadable"}),
    ),
    "a data set card": Case(
        files=lambda: {"0.png": png(1), "0.txt": "a", "README.md": "---\nlicense: cc-by-nc-4.0\n---\n# Images\n"},
        options=GIVEN,
        licences={"0.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
    "a readme file against the line": Case(
        files=lambda: {"0.png": png(1), "0.txt": "a", "README.md": "These images are licensed under CC BY-NC 4.0.\n"},
        options=GIVEN,
        licences={"0.png": "CC0-1.0"},
        rules=frozenset({"licence-statements-differ"}),
    ),
    "a Japanese readme file against the line": Case(
        files=lambda: {
            "0.png": png(1),
            "0.txt": "a",
            "お読みください.txt": "この画像の商用利用は禁止です。CC BY-NC 4.0\n",
        },
        options=GIVEN,
        licences={"0.png": "CC0-1.0"},
        rules=frozenset({"licence-statements-differ"}),
    ),
    "a restriction in any text": Case(
        files=lambda: {"0.png": png(1), "0.txt": "a", "ぼくの絵.md": "配布用です。無断転載禁止、CC BY-NC 4.0 です。\n"},
        options=GIVEN,
        licences={"0.png": "CC0-1.0"},
        rules=frozenset({"licence-statements-differ", "licence-statement-unknown"}),
    ),
    "a page that links its licence": Case(
        files=lambda: {
            "0.png": png(1),
            "0.txt": "a",
            "index.html": f'<p>a</p><a rel="license" href="{NC}">licence</a>',
        },
        options=GIVEN,
        licences={"0.png": "CC0-1.0"},
        rules=frozenset({"licence-statements-differ"}),
    ),
    "EXIF UserComment": Case(
        files=lambda: {"0.jpg": user_comment("licensed under CC BY-NC 4.0"), "0.txt": "a"},
        options=GIVEN,
        licences={"0.jpg": "CC0-1.0"},
        rules=frozenset({"licence-statements-differ"}),
    ),
    "XMP inside": Case(
        files=lambda: {"0.png": png(1, {"XML:com.adobe.xmp": xmp(f'<cc:license rdf:resource="{NC}"/>')}), "0.txt": "a"},
        options=GIVEN,
        licences={"0.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
    "EXIF inside": Case(
        files=lambda: {
            "0.jpg": jpeg(1, exif={0x8298: "(c) Jane Doe. CC BY-NC 4.0"}),
            "metadata.jsonl": row("0.jpg", **BY_ROW),
        },
        rules=DIFFER,
    ),
    "IPTC inside": Case(
        files=lambda: {"0.jpg": (d := jpeg(1))[:2] + iptc("All rights reserved") + d[2:], "0.txt": "a"},
        options=GIVEN,
        rules=frozenset({"licence-unreadable"}),
    ),
    "text behind the pixels of a PNG": Case(
        files=lambda: {"0.png": png_with_late_text(1, "License", NC), "0.txt": "a"},
        options=GIVEN,
        licences={"0.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
    "a copyright notice alone states nothing": Case(
        files=lambda: {"0.jpg": jpeg(1, exif={0x8298: "(c) 2024 Jane Doe"}), "0.txt": "a"},
        options=GIVEN,
        licences={"0.jpg": "CC0-1.0"},
        passes=True,
    ),
    "everything says the same": Case(
        files=lambda: {
            "0.jpg": jpeg(1, exif={0x8298: f"(c) Jane Doe, {BY}"}),
            "metadata.jsonl": row(
                "0.jpg", **BY_ROW | {"license_name": "Creative Commons Attribution 4.0 International"}
            ),
            "0.jpg.license": "SPDX-FileCopyrightText: 2024 Jane\nSPDX-License-Identifier: CC-BY-4.0\n",
            "LICENSE": BY,
            "README.md": "---\nlicense: cc-by-4.0\n---\nImages under CC BY 4.0.\n",
        },
        licences={"0.jpg": "CC-BY-4.0"},
        passes=True,
    ),
    "a name without a version beside its address": Case(
        files=lambda: {"0.png": png(1), "metadata.jsonl": row(**BY_ROW | {"license": "by", "license_version": "4.0"})},
        licences={"0.png": "CC-BY-4.0"},
        passes=True,
    ),
    "a column twice in one row": Case(
        files=lambda: {
            "0.png": png(1),
            "0.json": '{"license": "CC-BY-NC-4.0", "license": "CC0-1.0", "caption": "a"}',
        },
        rules=DIFFER | {"attribution"},
    ),
    "COCO's own table of licences": Case(
        files=lambda: {
            "0.png": png(1),
            "instances.json": json.dumps(
                {
                    "images": [{"id": 7, "file_name": "0.png", "license": 1}],
                    "licenses": [
                        {"id": 1, "name": "Attribution-NonCommercial License", "url": NC.replace("4.0", "2.0")}
                    ],
                    "annotations": [{"image_id": 7, "caption": "a shape"}],
                }
            ),
        },
        licences={"0.png": "CC-BY-NC-2.0"},
        captions={"0.png": (("a shape",), ())},
        rules=frozenset({"licence", "attribution"}),
    ),
    "Parquet with images inside": Case(
        files=lambda: {
            "data/train-00000.parquet": parquet(
                [
                    {"image": {"bytes": png(1), "path": "a.png"}, "text": "a"} | BY_ROW,
                    {"image": {"bytes": png(2), "path": "b.png"}, "text": "b"} | NC_ROW | {"license_url": ""},
                ]
            )
        },
        options=GIVEN,
        licences={"train-00000/a.png": "CC-BY-4.0", "train-00000/b.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
    "metadata.parquet": Case(
        files=lambda: {
            "train/0.png": png(1),
            "train/metadata.parquet": parquet([{"file_name": "0.png", "text": "a"} | NC_ROW]),
        },
        options=GIVEN,
        licences={"train/0.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
}
for _number, _name in enumerate(NAMES):
    CASES[f"a column called {_name}"] = Case(
        files=lambda _name=_name: {"0.png": png(1), "metadata.jsonl": row(**{_name: "CC BY-NC 4.0"})},
        options=GIVEN,
        licences={"0.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    )
