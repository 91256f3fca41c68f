"""Cases of formats, and of files that are left out and counted."""

from __future__ import annotations

from tests.cases.build import encoded, jpeg, picture, png
from tests.cases.case import BY_ROW, GIVEN, Case, row

CASES: dict[str, Case] = {
    "formats": Case(
        files=lambda: {
            "a.jfif": jpeg(1),
            "b.jpe": jpeg(2),
            "c.bmp": encoded(picture(3), "BMP"),
            "d.tiff": encoded(picture(4), "TIFF"),
            "e.gif": encoded(picture(5), "GIF", save_all=True, append_images=[picture(6)]),
            "f.avif": encoded(picture(7), "AVIF"),
            "g.jpg": encoded(picture(8), "MPO", save_all=True, append_images=[picture(9)]),
            "h.png": png(10, {"notes": "x" * 3_000_000}),
        },
        options=GIVEN,
        licences=dict.fromkeys(("a.jfif", "b.jpe", "c.bmp", "d.tiff", "e.gif", "f.avif", "g.jpg", "h.png"), "CC0-1.0"),
        passes=True,
    ),
    "what cannot be read is counted": Case(
        files=lambda: {
            "a.png": png(1),
            "b.heic": b"x",
            "c.psd": b"8BPS",
            ".DS_Store": b"x",
            "sub/.hidden/d.png": png(2),
            "e.txt": "lost",
            "f.doc": b"x",
            "g.png": b"no image",
            "h.png": png(3)[:100],
        },
        options=GIVEN,
        licences={"a.png": "CC0-1.0"},
        passes=True,
        left_out=8,
    ),
    "images that no row names": Case(
        files=lambda: {
            "a.png": png(1),
            "b.png": png(2),
            "metadata.jsonl": row("a.png", **BY_ROW) + row("none.png", **BY_ROW),
        },
        licences={"a.png": "CC-BY-4.0"},
        passes=True,
        left_out=2,
    ),
    "a name that could mean two images": Case(
        files=lambda: {
            "x/0.png": png(1),
            "y/0.png": png(2),
            "z/1.png": png(3),
            "list.csv": "file,license\n0.png,CC0-1.0\n1.png,CC0-1.0\nw/1.png,CC0-1.0\n",
        },
        licences={"z/1.png": "CC0-1.0"},
        passes=True,
        left_out=4,
    ),
}
