"""Images of other programs: one reader for `show`, `verify` and the gallery, whatever holds the text and however long
it is.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from commonart_desktop.core.picture_text import read_text
from engine.contract.errors import BadFile, NoRecipe
from engine.imagefile.image import read_image_texts, read_parameters, read_pixels, read_recipe, read_shown
from engine.output.__main__ import show
from engine.provenance.verify import Verifier

TEXT = "red apple りんご\nNegative prompt: fog\nSteps: 20, Seed: 5"
COMMENTS = {
    "big": b"UNICODE\0" + TEXT.encode("utf-16-be"),
    "little": b"UNICODE\0" + TEXT.encode("utf-16-le"),
    "mark": b"UNICODE\0" + TEXT.encode("utf-16"),
    "utf8": b"UNICODE\0" + TEXT.encode(),
    "ascii": b"ASCII\0\0\0" + TEXT.encode(),
    "jis": b"JIS\0\0\0\0\0" + TEXT.encode("iso2022_jp"),
    "undefined": b"\0" * 8 + TEXT.encode(),
    "bare": TEXT.encode(),
}


def exif(comment: bytes) -> bytes:
    made = Image.Exif()
    made.get_ifd(0x8769)[0x9286] = comment
    return made.tobytes()


@pytest.mark.parametrize("ending", ["jpg", "webp", "png"])
@pytest.mark.parametrize("comment", COMMENTS)
def test_every_user_comment_is_read_alike_by_all(tmp_path: Path, comment: str, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", (16, 8), "red").save(path, exif=exif(COMMENTS[comment]))
    assert read_parameters(path) == TEXT
    shown, report = show(path), Verifier().verify(path)
    assert shown["read"] == report.read and shown["texts"] == report.texts == {"parameters": TEXT}
    assert shown["read"]["prompt"] == "red apple りんご" and shown["read"]["settings"] == {"steps": 20, "seed": 5}
    assert (shown["width"], shown["height"], shown["tool"], report.tool) == (16, 8, "A1111", "A1111")
    if ending != "png":
        assert read_text(path).parameters == TEXT


def test_comfyui_in_exif(tmp_path: Path) -> None:
    made = Image.Exif()
    made[0x010F], made[0x0110] = 'workflow:{"nodes": []}', 'Prompt:{"1": {"inputs": {}}}'
    Image.new("RGB", (8, 8)).save(tmp_path / "a.webp", exif=made)
    assert read_image_texts(tmp_path / "a.webp").plain == {
        "workflow": '{"nodes": []}',
        "prompt": '{"1": {"inputs": {}}}',
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_a_png_with_a_large_text_is_whole(tmp_path: Path, compressed: bool) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("workflow", json.dumps({"x": "y" * 3_000_000}), zip=compressed)
    texts.add_text("parameters", "cat\nSteps: 5")
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8), "red").save(path, pnginfo=texts)
    found = show(path)
    assert found["read"]["prompt"] == "cat" and len(found["texts"]["workflow"]) == 20_000
    assert read_pixels(path).shape == (8, 8, 3) and read_shown(path).getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(NoRecipe):
        read_recipe(path)


def test_a_workflow_longer_than_what_is_shown_is_understood(tmp_path: Path) -> None:
    graph = {
        "1": {"inputs": {"positive": ["2", 0], "negative": ["3", 0], "steps": 4}},
        "2": {"inputs": {"text": "cat"}},
        "3": {"inputs": {"text": "x" * 30_000}},
    }
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", json.dumps(graph))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=texts)
    assert show(tmp_path / "a.png")["read"]["prompt"] == "cat"


def test_a_camera_may_append_to_a_jpeg_but_a_cut_one_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "JPEG", exif=exif(COMMENTS["big"]))
    path = tmp_path / "a.jpg"
    path.write_bytes(out.getvalue() + b"\0" * 3_000_000)
    assert read_parameters(path) == TEXT
    for cut in (len(out.getvalue()) - 2, len(out.getvalue()) // 2):
        path.write_bytes(out.getvalue()[:cut])
        with pytest.raises(BadFile, match="cut off"):
            read_parameters(path)


def test_a_sheet_shows_colours_and_turns_as_viewers_do(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (16, 8), "red").save(tmp_path / "a.jpg", exif=turned)
    assert read_shown(tmp_path / "a.jpg").size == (8, 16)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(tmp_path / "b.png", icc_profile=lab)
    assert read_shown(tmp_path / "b.png").mode == "RGB"  # a profile of another space is left alone
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.jpg")
    assert read_shown(tmp_path / "c.jpg").mode == "RGB"
