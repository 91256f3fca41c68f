"""From pixels to a finished ledger row: write a temporary file, record the name, rename, mark done; crash recovery."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.contract import recipe as recipes
from engine.contract.errors import BadTemplate, CommonArtError, DiskFull, Phrase
from engine.contract.files import discard, make_folder
from engine.contract.ledger.ledger import Ledger, Row
from engine.contract.ledger.worker_side import PLAIN_NAME
from engine.contract.naming import DEFAULT, render
from engine.contract.request import ImageRequest
from engine.contract.version import APP
from engine.imagefile.container import is_signed
from engine.imagefile.image import ENDINGS, encode_image, pixel_sha256, read_pixels, read_recipe
from engine.provenance.finalize import ImageFinalizer
from engine.provenance.prompt_redaction import is_redacted, restore_prompt
from engine.system import atomic


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """An image and how it was generated.

    One from another machine is ``coded`` and has its hash, else it has ``pixels``.
    """

    row: Row
    request: ImageRequest  # with its size resolved
    pixels: np.ndarray[Any, Any] | None = None
    coded: bytes = b""
    sha256: str = ""  # of the pixels
    model: str
    hashes: dict[str, str]
    loras: list[dict[str, Any]]
    backend: dict[str, Any]
    batch: tuple[int, int]
    unknown_words: list[str]
    cut: bool


def label_of(image: int | str, worker: str) -> str:
    """The label of a row's temporary file: no other worker, of this ledger or another, uses it."""
    return f"row{image}-{worker}"


def save(made: DecodedImage, ledger: Ledger, worker: str, job: str, seal: ImageFinalizer) -> dict[str, Any] | None:
    """Save the image and mark its row; returns the report, or None if the row was cancelled meanwhile.

    It is signed before it is written, so a file that should be signed never has its name unsigned.

    Raises:
        DiskFull, OutputFolder: no partial file is left. BadTemplate: the name leads outside.
    """
    request, folder = made.request, Path(made.request.out)
    if made.pixels is not None:
        made = replace(made, coded=encode_image(made.pixels, request.format), sha256=pixel_sha256(made.pixels))
    sha = made.sha256
    recipe = recipes.build(
        request,
        model=made.model,
        hashes=made.hashes,
        backend=made.backend,
        batch=made.batch,
        pixel_sha256=sha,
        app=APP,
        row=recipes.identity(made.row.id, made.row.request),
        unknown_words=made.unknown_words,
        cut=made.cut,
        loras=made.loras,
    )
    recipe = seal.score(made.coded if made.pixels is None else made.pixels, recipe)
    sealed = seal.finalize(made.coded, request.format, request.width or 0, request.height or 0, recipe)
    stem = folder / render(request.name or DEFAULT, request, job=job, image=made.row.id)
    make_folder(stem.parent)
    if not stem.parent.resolve().is_relative_to(folder.resolve()):  # a link inside the folder leads out
        raise BadTemplate(template=request.name, why=Phrase("it must stay inside the output folder"))
    part = atomic.write_aside(stem.parent, label_of(made.row.id, worker), sealed.data)
    try:
        for final in atomic.candidates(stem, ENDINGS[request.format]):
            if not ledger.intend(made.row.id, worker, final):
                return None
            try:
                atomic.publish(part, final)
                break
            except FileExistsError:
                continue  # another image took the name meanwhile
    finally:
        discard(part)
    ledger.done(made.row.id, path=final, pixel_sha256=sha, recipe=recipe)
    return report(made.row.id, final, recipe, signed=sealed.signed)


def report(image: int, path: Path, recipe: dict[str, Any], *, signed: bool) -> dict[str, Any]:
    """What ``--json`` prints for an image."""
    r = ImageRequest.from_dict(recipe["request"])
    return {
        "path": str(path),
        "id": image,
        "prompt": r.prompt,
        "template": r.template or r.prompt,
        "draw": list(r.draw),
        "negative": r.negative,
        "seed": r.seed,
        "width": r.width,
        "height": r.height,
        "steps": r.steps,
        "guidance": r.guidance,
        "sampler": r.sampler,
        "model": r.model,
        "model_sha256": recipe["hashes"]["denoiser"],
        "pixel_sha256": recipe["pixel_sha256"],
        "format": r.format,
        "deterministic": r.deterministic,
        "preset": r.preset,
        "loras": recipe.get("loras", []),
        "signed": signed,
        **{k: recipe["backend"][k] for k in ("backend", "device", "dtype")},
        "unknown_words": recipe["unknown_words"],
        "prompt_cut": recipe["prompt_cut"],
        **({"safety": recipe["safety"]} if "safety" in recipe else {}),
    }


def proof(row: Row) -> tuple[str, dict[str, Any]] | None:
    """Whether the file that a dead worker was about to rename is this row's finished image.

    Returns (pixel hash, recipe) if so. A lossless file must also contain exactly the pixels it claims.
    """
    path = Path(row.pending or "")
    try:
        recipe = read_recipe(path)
        if recipe.get("row") != recipes.identity(row.id, row.request):
            return None
        if row.request.format != "jpeg" and pixel_sha256(read_pixels(path)) != recipe["pixel_sha256"]:
            return None
        return str(recipe["pixel_sha256"]), restore_prompt(recipe, row.request) if is_redacted(recipe) else recipe
    except (CommonArtError, KeyError):
        return None


def settle(ledger: Ledger, image: int, worker: str) -> dict[str, Any] | None:
    """After a failure in ``save``: if the file got its name all the same the row is done and its report returned.

    Else the row waits.
    """
    row = ledger.row(image)
    if row is None or row.state != "running" or row.worker != worker:
        return None
    proved = proof(row) if row.pending else None
    if proved is None:
        ledger.put_back([image])
        return None
    path = Path(row.pending or "")
    ledger.done(image, path=path, pixel_sha256=proved[0], recipe=proved[1])
    return report(image, path, proved[1], signed=is_signed(path))


def recover(ledger: Ledger, tell: Callable[[Row, CommonArtError], None] | None = None) -> dict[str, int]:
    """Recover rows of dead workers: see ``Ledger.recover``; their temporary files are removed.

    The files are removed first: a recovered row is not visited again if this process dies too.
    """
    places = {
        (Path(r.request.out), r.worker)
        for r in ledger.stranded()
        if r.request.out and r.worker and PLAIN_NAME.fullmatch(r.worker)
    }
    for folder, worker in places:
        if folder.is_dir():
            atomic.sweep(folder, label_of("*", worker))
    return ledger.recover(proof, tell)


def check_room(folder: Path, minimum: int) -> None:
    """Detect a nearly full disk early. ``minimum`` in bytes.

    Raises:
        DiskFull
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        if shutil.disk_usage(place).free < minimum:
            raise DiskFull(path=folder)
    except OSError:
        pass  # a missing folder is reported when it is written to
