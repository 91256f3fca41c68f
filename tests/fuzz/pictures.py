"""Targets: recipes and texts in pictures, and their signatures."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from PIL import Image, PngImagePlugin

from engine.contract.errors import CommonArtError
from engine.contract.provenance_policy import ProvenancePolicy
from engine.contract.recipe import build, check, parameters, request_of
from engine.contract.request import ImageRequest
from engine.imagefile.image import pixel_sha256, read_parameters, read_pixels, read_recipe, to_bytes
from engine.output.__main__ import show
from engine.provenance import keystore
from engine.provenance.finalize import ImageFinalizer
from engine.provenance.verify import STATES, Verifier
from tests.fuzz.core import Broken, Files, Target
from tests.fuzz.mutate import chunk, damaged, dumps, pngs, twisted

PIXELS = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
KINDS = ("png", "webp", "jpeg")
LORA = {"name": "ink", "sha256": "d" * 64, "scale": 0.8, "dataset_sha256": "e" * 64, "gate_report_sha256": "f" * 64}


@cache
def recipe() -> dict[str, Any]:
    request = ImageRequest(
        prompt="すし、<海> & 空", model="commonart-mini", width=16, height=16, seed=7, loras=(("ink", 0.8),)
    )
    return build(
        request,
        model="commonart-mini",
        hashes={"denoiser": "a" * 64, "text_encoder": "b" * 64, "vae": "c" * 64},
        backend={"backend": "fake", "device": "cpu", "dtype": "fp32", "libraries": {}},
        batch=(4, 2),
        pixel_sha256=pixel_sha256(PIXELS),
        app="CommonArt Desktop 0.1.0",
        loras=[LORA],
    )


@cache
def of_others() -> list[bytes]:
    """As A1111, ComfyUI and InvokeAI write them, and pictures of unusual build."""
    found = []
    image = Image.fromarray(PIXELS)
    for texts in (
        {"parameters": "a cat\nSteps: 20"},
        {"prompt": '{"3": {"class_type": "KSampler"}}', "workflow": "{}"},
        {"invokeai_metadata": "{}"},
    ):
        info = PngImagePlugin.PngInfo()
        for key, text in texts.items():
            info.add_text(key, text, zip=key == "workflow")
        out = io.BytesIO()
        image.save(out, "PNG", pnginfo=info)
        found.append(out.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "猫".encode("utf-16-le")
    for kind, options in (
        ("JPEG", {"exif": exif.tobytes(), "progressive": True}),
        ("WEBP", {"exif": exif.tobytes()}),
        ("GIF", {}),
        ("TIFF", {}),
        ("BMP", {}),
    ):
        out = io.BytesIO()
        image.save(out, kind, **options)
        found.append(out.getvalue())
    out = io.BytesIO()
    image.save(out, "PNG", save_all=True, append_images=[image.rotate(90)])
    found.append(out.getvalue())
    # a picture of many pixels in few bytes, and one that claims them
    for side in (40_000, 13_000, 0x7FFFFFFF):
        found.append(
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", b"x\x9c")
            + chunk(b"IEND", b"")
        )
    return found


def plain() -> list[bytes]:
    return [to_bytes(PIXELS, kind, recipe()) for kind in KINDS]


@cache
def signed() -> tuple[bytes, ...]:
    """Signed by the identity in the present data folder."""
    seal = ImageFinalizer(ProvenancePolicy(training_mining="notAllowed", creator="花子"), _loud)
    try:
        return tuple(seal.pack(PIXELS, kind, recipe()).data for kind in KINDS)
    finally:
        seal.close()


def _loud(error: CommonArtError) -> None:
    raise AssertionError(error)


def _a(name: str) -> Any:
    return lambda data: {name: data}


def _texts() -> SearchStrategy[Files]:
    originals = plain()
    return st.one_of(
        damaged([*originals, *of_others()]).map(_a("a.png")), pngs(originals[:1], recipe()).map(_a("a.png"))
    )


def _read(folder: Path) -> Any:
    """All that ``commonart show``, ``--like`` and the gallery ask of a picture; one answer is enough."""
    path = folder / "a.png"
    found: dict[str, Any] = {}
    trouble: CommonArtError | None = None
    for name, work in (
        ("parameters", read_parameters),
        ("recipe", read_recipe),
        ("show", show),
        ("request", lambda p: asdict(request_of(read_recipe(p)))),
        ("line", lambda p: parameters(_checked(read_recipe(p)))),
    ):
        try:
            found[name] = work(path)
        except CommonArtError as error:
            trouble = error
    if "request" in found:
        for name in (found["request"]["model"], *(one for one, _ in found["request"]["loras"])):
            if "/" in name[:1] or ".." in name or "\\" in name or ":" in name or found["request"]["out"]:
                raise Broken(f"a recipe chose a place: {name!r}")
    try:
        found["pixels"] = list(read_pixels(path).shape)
    except CommonArtError as error:
        trouble = error
    if not found and trouble is not None:
        raise trouble
    return found


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    check(found)
    return found


# signatures -------------------------------------------------------------------------------------------------------

_verifier: list[Verifier] = []


def _prepare(home: Path) -> None:
    """An identity of this run's own; the keyring of whoever runs it is not touched."""
    signed.cache_clear()
    with mock.patch.object(keystore, "keyring_backend", lambda: None):
        signed()
    _verifier[:] = [Verifier()]


def _verified() -> SearchStrategy[Files]:
    beside = st.sampled_from([{}])
    originals = list(signed())
    picture = st.one_of(
        damaged(originals), damaged([*originals, *plain(), *of_others()]), pngs([originals[0], plain()[0]], recipe())
    )
    return st.builds(lambda data, more: {"a.png": data} | more, picture, beside)


def _verify(folder: Path) -> Any:
    """Never raises, and calls nothing valid whose pixels or recipe are others than those signed."""
    data = (folder / "a.png").read_bytes()
    try:
        report = _verifier[0].verify(folder / "a.png")
    except CommonArtError as error:
        raise Broken(f"verify raised {error}") from error
    if report.state not in STATES:
        raise Broken(f"the state {report.state}")
    if report.state == "valid":
        if report.recipe != recipe():
            raise Broken("valid with another recipe")
        if data not in signed() and not np.array_equal(read_pixels(folder / "a.png"), read_pixels_of(data)):
            raise Broken("valid with other pixels")
    if report.intact and report.state != "valid":
        raise Broken(f"intact and {report.state}")
    return json.loads(json.dumps(report.as_data())) if report.state != "unreadable" else None


def read_pixels_of(data: bytes) -> np.ndarray[Any, Any]:
    """What the signed picture of the same kind shows."""
    index = 0 if data.startswith(b"\x89PNG") else 1 if data.startswith(b"RIFF") else 2
    with Image.open(io.BytesIO(signed()[index])) as image:
        return np.asarray(image.convert("RGB"))


def _recipes() -> SearchStrategy[Files]:
    return twisted(recipe()).map(dumps).map(_a("recipe.json"))


def _recipe(folder: Path) -> Any:
    """A recipe by itself, as the gallery and ``--like`` take it from a file."""
    try:
        data = json.loads((folder / "recipe.json").read_bytes())
    except (ValueError, RecursionError):
        return None
    request = request_of(data)
    for name in (request.model, *(one for one, _ in request.loras)):
        if name.startswith(("/", ".", "~")) or ".." in name or "\\" in name or ":" in name:
            raise Broken(f"a recipe chose a place: {name!r}")
    if request.out or request.text_encoder or request.vae:
        raise Broken("a recipe chose a folder")
    return [asdict(request), parameters(data)]


TARGETS = (
    Target("pictures", "recipe, parameters and pixels of PNG, WebP, JPEG", _texts, _read),
    Target("verify", "signatures and texts of images", _verified, _verify, _prepare),
    Target("recipes", "a recipe's data", _recipes, _recipe),
)
