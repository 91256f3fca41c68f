"""Images of every awkward kind as upright sRGB; one that cannot be used is an error that says why."""

from __future__ import annotations

import io
import itertools
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contract.errors import BadPicture
from tests.support.images import draw, png
from trainer.dataset.images import MAX_PIXELS, load_rgb, load_small


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


# colour profiles ------------------------------------------------------------------------------------------------------


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def _profile(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile of version 2.4 (ICC.1:2001-04)."""
    text = b"test\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + text,
        b"wtpt": b"XYZ " + bytes(4) + _fixed(0.9642, 1.0, 0.8249),
    } | tags
    table, data = b"", b""
    for name, value in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = (
        bytes(8) + struct.pack(">I", 0x02400000) + kind + space + connection + struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    )
    head += b"acsp" + bytes(28) + _fixed(0.9642, 1.0, 0.8249)
    body = head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data
    return struct.pack(">I", len(body)) + body[4:]


D65 = np.array([0.95047, 1.0, 1.08883])
D50 = np.array([0.9642, 1.0, 0.8249])
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray[Any, Any]:
    """Linear RGB to XYZ under D65."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, D65)


def _bradford() -> np.ndarray[Any, Any]:
    """XYZ under D65 to XYZ under D50."""
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    return np.linalg.inv(cone) @ np.diag((cone @ D50) / (cone @ D65)) @ cone


def _linear(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _encoded(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    values = values.clip(0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def _display_p3() -> bytes:
    colorants = _bradford() @ _to_xyz(DISPLAY_P3)
    curve = (_linear(np.linspace(0, 1, 1024)) * 65535).round().astype(">u2").tobytes()
    tags = {name: b"XYZ " + bytes(4) + _fixed(*colorants[:, n]) for n, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= {name: b"curv" + bytes(4) + struct.pack(">I", 1024) + curve for name in (b"rTRC", b"gTRC", b"bTRC")}
    return _profile(b"RGB ", b"XYZ ", b"mntr", tags)


def _lab(rgb: tuple[int, int, int]) -> tuple[float, float, float]:
    """8-bit sRGB to CIELAB under D50."""
    ratio = _bradford() @ _to_xyz(SRGB) @ _linear(np.array(rgb) / 255) / D50
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


# what inks, alone and over each other, look like in sRGB: far from the pure colours of a naive conversion
INKS = {
    (0, 0, 0, 0): (255, 255, 255),
    (255, 0, 0, 0): (20, 140, 200),
    (0, 255, 0, 0): (210, 30, 120),
    (0, 0, 255, 0): (240, 220, 40),
    (255, 255, 0, 0): (60, 50, 130),
    (255, 0, 255, 0): (40, 140, 80),
    (0, 255, 255, 0): (200, 60, 50),
    (0, 0, 0, 255): (45, 42, 40),
}


def _cmyk() -> bytes:
    """A printer's profile: a table from CMYK to CIELAB with two steps a channel."""
    table = []
    for corner in itertools.product((0, 255), repeat=4):
        lightness, a, b = _lab(INKS.get(corner, (0, 0, 0)))
        table += [round(lightness * 65280 / 100), round((a + 128) * 256), round((b + 128) * 256)]
    identity, ramp = _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1), struct.pack(">2H", 0, 65535)
    lut = b"mft2" + bytes(4) + bytes([4, 3, 2, 0]) + identity + struct.pack(">2H", 2, 2) + 4 * ramp
    lut += struct.pack(f">{len(table)}H", *table) + 3 * ramp
    return _profile(b"CMYK", b"Lab ", b"prtr", {b"A2B0": lut, b"A2B1": lut})


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_display_p3_becomes_srgb(tmp_path: Path, kind: str) -> None:
    # colours that sRGB can show too
    given = np.array([[[200, 120, 90], [90, 160, 110], [60, 80, 150], [128, 128, 128], [255, 255, 255], [0, 0, 0]]])
    matrix = np.linalg.inv(_to_xyz(SRGB)) @ _to_xyz(DISPLAY_P3)
    wanted = _encoded(_linear(given / 255) @ matrix.T) * 255
    options = {"lossless": True, "exact": True} if kind == "webp" else {}
    path = _saved(tmp_path / f"x.{kind}", Image.fromarray(given.astype(np.uint8)), icc_profile=_display_p3(), **options)
    assert np.abs(given - wanted).max() > 8  # the test would see a profile that is passed over
    assert np.abs(np.asarray(load_rgb(path)).astype(float) - wanted).max() <= 2
    assert np.abs(np.asarray(load_small(path, 32)[0]).astype(float) - wanted).max() <= 2


def test_a_transparent_image_keeps_its_transparency_through_its_profile(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (200, 120, 90, 255))
    image.putpixel((1, 0), (200, 120, 90, 0))
    path = _saved(tmp_path / "x.png", image, icc_profile=_display_p3())
    matrix = np.linalg.inv(_to_xyz(SRGB)) @ _to_xyz(DISPLAY_P3)
    wanted = _encoded(matrix @ _linear(np.array([200, 120, 90]) / 255)) * 255
    pixels = np.asarray(load_rgb(path)).astype(float)
    assert np.abs(pixels[0, 0] - wanted).max() <= 2 and pixels[0, 1].tolist() == [255, 255, 255]


def test_cmyk_is_converted_by_its_profile(tmp_path: Path) -> None:
    image = Image.new("CMYK", (len(INKS), 1))
    for n, inks in enumerate(INKS):
        image.putpixel((n, 0), inks)
    path = _saved(tmp_path / "x.tiff", image, icc_profile=_cmyk())
    wanted = np.array([list(INKS.values())])
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - wanted).max() > 40  # without the profile
    assert np.abs(np.asarray(load_rgb(path)).astype(int) - wanted).max() <= 2
