"""Cases of captions and names: what is there is read."""

from __future__ import annotations

import codecs
import json
import unicodedata

from tests.cases.build import BY, jpeg, png, tar
from tests.cases.case import GIVEN, NC_ROW, Case

CASES: dict[str, Case] = {
    "captions under other names": Case(
        files=lambda: {
            "a.png": png(1),
            "a.TXT": "one",
            "b.png": png(2),
            "b.png.txt": "two",
            "c.png": png(3),
            "c.caption": "three",
            "d.png": png(4),
            "d.txt": codecs.BOM_UTF16_LE + "four".encode("utf-16-le"),
            "e.png": png(5),
            "e.txt": "赤いりんご\na sign that reads 寿司",
            "f.png": png(6),
            "f.en.txt": "寿司",
        },
        options=GIVEN,
        captions={
            "a.png": (("one",), ()),
            "b.png": (("two",), ()),
            "c.png": (("three",), ()),
            "d.png": (("four",), ()),
            "e.png": (("a sign that reads 寿司",), ("赤いりんご",)),
            "f.png": (("寿司",), ()),
        },
        passes=True,
    ),
    "names in other Unicode forms": Case(
        files=lambda: {
            unicodedata.normalize("NFD", "がぎ.png"): png(1),
            unicodedata.normalize("NFC", "がぎ.txt"): "りんご",
            unicodedata.normalize("NFC", "ぱぴ.png"): png(2),
            unicodedata.normalize("NFD", "ぱぴ.txt"): "なし",
        },
        options=GIVEN,
        captions={"がぎ.png": ((), ("りんご",)), "ぱぴ.png": ((), ("なし",))},
        passes=True,
    ),
    "paths as others write them": Case(
        files=lambda: {
            "p/a.png": png(1),
            unicodedata.normalize("NFD", "p/ü.png"): png(2),
            "list.csv": f"image,caption,license,license_url,creator,source_url\n./p/a.png,one,CC-BY-4.0,{BY},J,https://x.example\n"
            f"p\\{unicodedata.normalize('NFC', 'ü')}.png,two,CC-BY-4.0,{BY},J,https://x.example\n",
        },
        captions={"p/a.png": (("one",), ()), "p/ü.png": (("two",), ())},
        passes=True,
    ),
    "a table with a byte order mark, CRLF and sep=": Case(
        files=lambda: {
            "a.png": png(1),
            "list.csv": b"\xef\xbb\xbf"
            + (
                "sep=;\r\nfile_name; caption; license; license_url; creator; source_url\r\n"
                f'a.png; "one; two"; CC-BY-4.0; {BY}; J; https://x.example\r\n'
            ).encode(),
        },
        captions={"a.png": (("one; two",), ())},
        passes=True,
    ),
    "a table in UTF-16": Case(
        files=lambda: {
            "a.png": png(1),
            "list.csv": codecs.BOM_UTF16_LE
            + f"file_name\ttext_ja\tlicense\tlicense_url\tcreator\tsource_url\r\na.png\tりんご\tCC-BY-4.0\t{BY}\tJ\thttps://x.example\r\n".encode(
                "utf-16-le"
            ),
        },
        captions={"a.png": ((), ("りんご",))},
        passes=True,
    ),
    "names with dots in an archive": Case(
        files=lambda: {
            "x.tar": tar(
                ("photo.2020.01.jpg", jpeg(1)),
                ("photo.2020.02.jpg", jpeg(2)),
                ("photo.2020.01.txt", b"one"),
                ("photo.2020.02.txt", b"two"),
                ("photo.2020.02.cls", b"7"),
            )
        },
        start="x.tar",
        options=GIVEN,
        captions={"x/photo.2020.01.jpg": (("one",), ()), "x/photo.2020.02.jpg": (("two",), ())},
        passes=True,
        left_out=1,
    ),
    "a second image of one sample": Case(
        files=lambda: {"x.tar": tar(("0.png", png(1)), ("0.seg.png", png(2)), ("0.json", json.dumps(NC_ROW).encode()))},
        start="x.tar",
        options=GIVEN,
        licences={"x/0.png": "CC-BY-NC-4.0", "x/0.seg.png": "CC-BY-NC-4.0"},
        rules=frozenset({"licence"}),
    ),
}
