"""metadata.jsonl: read line by line, told by line, written whole; and pictures of every awkward kind as upright RGB."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contract.errors import BadPicture, BadRow, CommonArtError, NoRecords, NotUtf8
from tests.support.images import draw, make_dataset, png
from trainer.dataset.pictures import MAX_PIXELS, load_rgb, load_small
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


# pictures -------------------------------------------------------------------------------------------------------------


def _saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def _picture() -> Image.Image:
    return draw("star", (214, 48, 49), (250, 250, 248), size=48, style="plain", rng=random.Random(3))


def test_cmyk_sixteen_bit_rotated_transparent_and_palette_become_rgb(tmp_path: Path) -> None:
    plain = np.asarray(_picture())
    cmyk = load_rgb(_saved(tmp_path / "c.jpg", _picture().convert("CMYK"), quality=95))
    assert cmyk.mode == "RGB" and np.abs(np.asarray(cmyk).astype(int) - plain).mean() < 12
    grey = load_rgb(_saved(tmp_path / "g.png", Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16))))
    assert [p[0] for p in np.asarray(grey)[0].tolist()] == [0, 1, 128, 255]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = load_rgb(_saved(tmp_path / "r.png", Image.fromarray(plain[:20]), exif=exif))
    assert turned.size == (20, 48) and np.array_equal(np.asarray(turned), np.rot90(plain[:20], -1))
    assert load_small(tmp_path / "r.png", 32)[1] == (20, 48)
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    clear.putpixel((0, 0), (0, 0, 255, 255))
    over = np.asarray(load_rgb(_saved(tmp_path / "t.png", clear)))
    assert over[0, 0].tolist() == [0, 0, 255] and over[1, 1].tolist() == [255, 255, 255]
    index = clear.convert("RGB").quantize(4)
    assert np.asarray(load_rgb(_saved(tmp_path / "p.png", index, transparency=0))).shape == (4, 4, 3)


def _bomb() -> bytes:
    """A PNG that claims 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = (20_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def _animated() -> bytes:
    out = io.BytesIO()
    _picture().save(out, "WEBP", save_all=True, append_images=[Image.new("RGB", (48, 48))], lossless=True)
    return out.getvalue()


def _ppm() -> bytes:
    out = io.BytesIO()
    _picture().save(out, "PPM")
    return out.getvalue()


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "cut": (lambda: png(_picture())[:300], "damaged"),
    "text": (lambda: b"no picture at all", "no image of a format"),
    "empty": (lambda: b"", "no image of a format"),
    "bomb": (_bomb, "pixels"),
    "animated": (_animated, "animated"),
    "another format": (_ppm, "no image of a format"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_picture_that_cannot_be_used_is_a_sentence(tmp_path: Path, name: str) -> None:
    make, why = BAD[name]
    (tmp_path / "x.png").write_bytes(make())
    for load in (load_rgb, lambda p: load_small(p, 32)):
        with pytest.raises(BadPicture, match=why):
            load(tmp_path / "x.png")


def test_missing_file_and_limit(tmp_path: Path) -> None:
    with pytest.raises(BadPicture, match="no such file"):
        load_rgb(tmp_path / "none.png")
    assert Image.MAX_IMAGE_PIXELS is not None and MAX_PIXELS <= Image.MAX_IMAGE_PIXELS


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.integers(0, 2000), what=st.binary(min_size=1, max_size=8), kind=st.sampled_from(["PNG", "JPEG", "WEBP"])
)
def test_damaged_bytes_are_a_picture_or_a_sentence(tmp_path: Path, where: int, what: bytes, kind: str) -> None:
    out = io.BytesIO()
    _picture().save(out, kind)
    data = bytearray(out.getvalue())
    data[where % len(data) : where % len(data) + len(what)] = what
    (tmp_path / "x").write_bytes(data)
    try:
        assert load_rgb(tmp_path / "x").mode == "RGB"
    except BadPicture:
        pass
