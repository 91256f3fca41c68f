"""Verification: whether an image is as it was signed, who signed it, and what it was generated with."""

from __future__ import annotations

import io
import json
import struct
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from engine.contract.errors import BadFile, CommonArtError, Phrase, system_words
from engine.contract.image_parameters import read_parameters
from engine.contract.recipe import check, parameters
from engine.imagefile.container import ImageContainer, image_sha256, walk, without_metadata
from engine.imagefile.image import pixel_sha256
from engine.imagefile.text_chunks import KEY, PARAMETERS, TextChunks, read_texts
from engine.provenance import keys
from engine.provenance.chain import ReportIndex, follow
from engine.provenance.sign import RECIPE, TRAINING, mime, settings
from engine.system.json_program import phrase

STATES = ("valid", "changed", "expired", "unsigned", "foreign", "unreadable")
_EXPIRED = ("signingCredential.expired", "claimSignature.outsideValidity")
_TRUST = ("signingCredential.untrusted",)
#: failure -> the part of the file it concerns
_CONTENT = ("assertion.dataHash", "assertion.boxesHash", "assertion.bmffHash")


@dataclass
class Report:
    """The result for one file; JSON-ready except ``why``, which may be a phrase.

    ``changed`` names pixels, text, manifest, signature, stripped or other. ``pixels`` is match or differ where the
    decoded pixels could be compared with the recipe's hash, lossy for JPEG, else unknown. ``signer["who"]`` is studio,
    trusted or unknown.
    """

    path: str
    state: str = "unsigned"
    why: str = ""
    changed: list[str] = field(default_factory=list)
    signer: dict[str, Any] | None = None
    codes: list[str] = field(default_factory=list)  # C2PA's codes of failures
    tool: str = ""
    recipe: dict[str, Any] | None = None
    recipe_signed: bool = False
    prompt_hidden: bool = False
    pixels: str = "unknown"
    texts: dict[str, str] = field(default_factory=dict)
    read: dict[str, Any] | None = None  # what the texts of another program say, as far as it is clear
    xmp: dict[str, str] = field(default_factory=dict)
    training_mining: dict[str, Any] = field(default_factory=dict)
    ingredients: list[dict[str, str]] = field(default_factory=list)
    chain: list[dict[str, Any]] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Signed by a known signer and unchanged, and no available part of its chain contradicts it."""
        return self.state == "valid" and all(
            link["gate"] != "differs" and link["agrees"] and link["gate_summary"].get("passed", True) is True
            for link in self.chain
        )

    def as_data(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"why": phrase(self.why), "intact": self.intact}


class Verifier:
    """Opened once for many images.

    ``loras`` are folders (or files) to look for LoRAs in; ``trust`` PEM files of others' certificates.

    Raises:
        BadCertificate: a file of ``trust`` cannot be read.
    """

    def __init__(self, loras: Sequence[Path] = (), trust: Sequence[Path] = ()) -> None:
        import c2pa

        self._c2pa, self._shelf = c2pa, ReportIndex(loras)
        studio = keys.chains()
        self._mine = {str(chain[0].serial_number) for chain in studio}
        anchors = [keys.pem(c) for chain in studio for c in chain[1:] or chain] + keys.trusted(list(trust))
        self._context = c2pa.Context.from_dict(
            settings(**({"trust": {"user_anchors": b"".join(anchors).decode("ascii")}} if anchors else {}))
        )

    def verify(self, path: Path) -> Report:
        """Verify one file; problems are reported, never raised."""
        report = Report(path=str(path))
        try:
            with path.open("rb") as f, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns on standard error about odd files
                self._look(f, path, report)
        except BadFile as e:
            report.state, report.why = "unreadable", e.fields["why"]
        except OSError as e:
            report.state, report.why = "unreadable", system_words(e)
        return report

    def _look(self, file: BinaryIO, path: Path, report: Report) -> None:
        found = walk(file, path)
        texts = read_texts(file, found)
        report.tool, report.texts = texts.tool, texts.shown()
        read = read_parameters(texts.plain)
        report.read = None if read is None else asdict(read)
        report.xmp = {k: v for k, v in texts.xmp.items() if k != "recipe"}
        manifest = self._manifest(file, found, report)
        signed = _assertion(manifest, RECIPE)
        report.recipe = _recipe(signed.get("recipe"))
        report.recipe_signed = report.recipe is not None
        if report.recipe is None:
            report.recipe = _recipe(texts.plain.get(KEY, ""))
        report.prompt_hidden = bool(report.recipe and report.recipe.get("prompt_hidden") is True)
        report.pixels = _pixels(file, found, report.recipe)
        _judge(file, found, texts, signed, report)
        if report.recipe:
            report.chain = follow(report.recipe, self._shelf)

    def _manifest(self, file: BinaryIO, found: ImageContainer, report: Report) -> dict[str, Any]:
        """The active manifest; the signer and C2PA's results go into the report."""
        c2pa = self._c2pa
        if not found.signed:
            return {}
        file.seek(0)
        try:
            with c2pa.Reader(mime(found.kind), file, context=self._context) as reader:
                data = json.loads(reader.json())
        except c2pa.C2paError as e:
            report.codes.append(f"manifest.unreadable: {e}"[:300])
            return {}
        results = data.get("validation_results", {}).get("activeManifest", {})
        report.codes = sorted({str(one.get("code")) for one in results.get("failure", [])})
        active = data.get("manifests", {}).get(data.get("active_manifest"), {})
        info = active.get("signature_info", {})
        known = any(one.get("code") == "signingCredential.trusted" for one in results.get("success", []))
        mine = known and str(info.get("cert_serial_number")) in self._mine
        generator = (active.get("claim_generator_info") or [{}])[0]
        report.signer = {
            "who": "studio" if mine else "trusted" if known else "unknown",
            "name": str(info.get("issuer") or info.get("common_name") or "?"),
            "serial": str(info.get("cert_serial_number", "")),
            "time": info.get("time"),
            "with": f"{generator.get('name', '')} {generator.get('version', '')}".strip(),
            "expired": any(c in _EXPIRED for c in report.codes),
        }
        report.training_mining = {
            k: v.get("use") for k, v in _assertion(active, TRAINING).get("entries", {}).items() if isinstance(v, dict)
        }
        report.ingredients = [
            {k: str(one.get(k, "")) for k in ("title", "relationship", "instance_id", "description")}
            for one in active.get("ingredients", [])[:100]
        ]
        return active if isinstance(active, dict) else {}


def _pixels(file: BinaryIO, found: ImageContainer, recipe: dict[str, Any] | None) -> str:
    """Only the image is decoded: damage in the metadata is reported elsewhere."""
    if recipe is None:
        return "unknown"
    if found.kind == "jpeg":
        return "lossy"
    try:
        with Image.open(io.BytesIO(without_metadata(file, found)), formats=[found.kind.upper()]) as image:
            return "match" if pixel_sha256(np.asarray(image.convert("RGB"))) == recipe["pixel_sha256"] else "differ"
    except (OSError, ValueError, SyntaxError, MemoryError, struct.error):
        return "broken"


def _assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    return next(
        (
            a["data"]
            for a in manifest.get("assertions", [])
            if a.get("label") == label and isinstance(a.get("data"), dict)
        ),
        {},
    )


def _recipe(text: Any) -> dict[str, Any] | None:
    """A recipe of ours, or None for anything else."""
    try:
        recipe = json.loads(text)
        check(recipe)
    except (ValueError, TypeError, RecursionError, CommonArtError):
        return None
    return dict(recipe)


def _judge(file: BinaryIO, found: ImageContainer, texts: TextChunks, signed: dict[str, Any], report: Report) -> None:
    """State, and what was changed.

    Raises:
        BadFile: there is no manifest, and the image cannot be decoded.
    """
    if report.signer is None:
        if found.signed:
            report.state, report.changed = "changed", ["manifest"]
        elif report.pixels == "broken":
            raise BadFile(path=report.path, why=Phrase("its image data are damaged"))
        elif texts.xmp.get("credentials"):
            report.state, report.changed = "changed", ["stripped"]
        if report.pixels in ("differ", "broken"):
            report.state, report.changed = "changed", [*report.changed, "pixels"]
        return
    wrong = [c for c in report.codes if c not in (*_EXPIRED, *_TRUST)]
    if wrong or report.pixels in ("differ", "broken"):
        report.state = "changed"
        report.changed = _what(file, found, texts, signed, report, wrong)
        report.recipe_signed = report.recipe_signed and not {"signature", "manifest"} & set(report.changed)
    elif report.signer["expired"]:
        report.state = "expired"
    else:
        report.state = "foreign" if report.signer["who"] == "unknown" else "valid"


def _what(
    file: BinaryIO, found: ImageContainer, texts: TextChunks, signed: dict[str, Any], report: Report, wrong: list[str]
) -> list[str]:
    """What differs from what was signed. The signed recipe and hash are trusted only if their signature is valid."""
    changed: list[str] = []
    if any(c.startswith(("claimSignature", "signingCredential")) for c in wrong):
        changed.append("signature")
    if any(not c.startswith((*_CONTENT, "claimSignature", "signingCredential")) for c in wrong):
        changed.append("manifest")
    content = any(c.startswith(_CONTENT) for c in wrong)
    if report.pixels in ("differ", "broken") or (
        content and signed and image_sha256(file, found) != signed.get("picture_sha256")
    ):
        changed.append("pixels")
    if content and signed:
        told = str(signed.get("recipe", ""))
        try:
            line = parameters(report.recipe) if report.recipe else ""
        except (CommonArtError, KeyError, TypeError, AttributeError):
            line = ""
        if texts.plain.get(KEY, "") != told or texts.plain.get(PARAMETERS, "") != line:
            changed.append("text")
    return changed or ["other"]
