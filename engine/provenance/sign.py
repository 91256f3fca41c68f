"""Content Credentials (C2PA) of an image: the tool, the ingredients and the signer.

No network, no time stamp, no thumbnail.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from engine.contract.errors import Phrase, SigningFailed
from engine.contract.provenance_policy import ProvenancePolicy
from engine.contract.version import APP, VERSION
from engine.imagefile.container import image_sha256, walk
from engine.imagefile.xmp import SOURCE_TYPE
from engine.provenance import keys

RECIPE = "commonart.recipe"  # our assertion: the recipe's JSON as in the file's text, and a hash of the coded image
TRAINING = "cawg.training-mining"
_TRAINING_USES = ("cawg.ai_generative_training", "cawg.ai_training", "cawg.data_mining")
_OFFLINE: dict[str, Any] = {
    "builder": {"thumbnail": {"enabled": False}},
    "core": {"allowed_network_hosts": []},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
}


def settings(**more: Any) -> dict[str, Any]:
    """c2pa's settings: no network, no thumbnails, and no verification of what it has just signed."""
    return _OFFLINE | more


def mime(kind: str) -> str:
    """png, webp or jpeg as a media type."""
    return f"image/{kind}"


def _ingredient(label: str, title: str, description: str, sha256: str, kind: str) -> dict[str, Any]:
    return {
        "label": label,
        "title": title,
        "description": description,
        "relationship": "inputTo",
        "instance_id": f"sha256:{sha256}",
        "data_types": [{"type": kind}],
    }


def ingredients_of(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """Ingredients of the image: the model, its LoRAs, and the data sets and gate reports they name, each by its
    SHA-256.
    """
    found = [
        _ingredient(
            "model",
            recipe["request"]["model"],
            "Model that made the picture: SHA-256 of its denoiser",
            recipe["hashes"]["denoiser"],
            "c2pa.types.model",
        )
    ]
    seen: set[str] = set()
    for number, lora in enumerate(recipe.get("loras") or []):
        found.append(
            _ingredient(
                f"lora-{number}", lora["name"], f"LoRA at scale {lora['scale']:g}", lora["sha256"], "c2pa.types.model"
            )
        )
        for part, title in (("dataset_sha256", "Training data"), ("gate_report_sha256", "Report of the licence check")):
            digest = str(lora.get(part) or "")
            if digest and digest not in seen:
                seen.add(digest)
                found.append(
                    _ingredient(
                        f"{part.split('_')[0]}-{number}",
                        f"{title}: {lora['name']}",
                        f"{title} of the LoRA {lora['name']}",
                        digest,
                        "c2pa.types.dataset",
                    )
                )
    return found


class Signer:
    """Opened once per worker; ``sign`` may be called from several threads at once.

    Raises:
        SigningFailed, BadCertificate: there is no identity to sign with.
    """

    def __init__(self, policy: ProvenancePolicy) -> None:
        import c2pa  # a library of 20 MB: only where images are signed

        self._c2pa, self._policy = c2pa, policy
        if policy.certificate or policy.key:
            self.identity = keys.own(Path(policy.certificate), Path(policy.key))
        else:
            self.identity = keys.local(policy.studio)
        try:
            self._context = c2pa.Context.from_dict(settings())
            info = c2pa.C2paSignerInfo(self.identity.alg, self.identity.chain, self.identity.key, None)
            self._signer = c2pa.Signer.from_info(info)
        except c2pa.C2paError as e:
            raise SigningFailed(why=Phrase("the C2PA library refuses the certificate ({reason})", reason=e)) from e

    def manifest(self, recipe: dict[str, Any], picture: str) -> dict[str, Any]:
        """The manifest's definition.

        ``recipe`` is the one written into the file; ``picture`` the hash of its coded image.
        """
        ingredients = ingredients_of(recipe)
        agent = {"name": "CommonArt Desktop", "version": VERSION}
        created = {
            "action": "c2pa.created",
            "digitalSourceType": SOURCE_TYPE,
            "softwareAgent": agent,
            "parameters": {"ingredientIds": [i["label"] for i in ingredients]},
        }
        # the recipe as text: c2pa stores lists of small numbers as bytes, and would not return what it was given
        assertions: list[dict[str, Any]] = [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": RECIPE, "data": {"recipe": json.dumps(recipe, ensure_ascii=False), "picture_sha256": picture}},
        ]
        if self._policy.training_mining:
            entry = {"use": self._policy.training_mining}
            if self._policy.training_mining == "constrained" and self._policy.rights:
                entry["constraint_info"] = self._policy.rights
            assertions.append({"label": TRAINING, "data": {"entries": dict.fromkeys(_TRAINING_USES, entry)}})
        return {"claim_generator_info": [agent], "title": APP, "ingredients": ingredients, "assertions": assertions}

    def sign(self, data: bytes, kind: str, recipe: dict[str, Any]) -> bytes:
        """The image with its manifest; pixels and text stay as they are. ``kind`` is png, webp or jpeg.

        Raises:
            SigningFailed
        """
        c2pa = self._c2pa
        source, out = io.BytesIO(data), io.BytesIO()
        try:
            picture = image_sha256(source, walk(source, Path(kind)))
            with c2pa.Builder(json.dumps(self.manifest(recipe, picture)), context=self._context) as builder:
                builder.set_intent(c2pa.C2paBuilderIntent.CREATE, c2pa.C2paDigitalSourceType.TRAINED_ALGORITHMIC_MEDIA)
                source.seek(0)
                builder.sign(self._signer, mime(kind), source, out)
        except (c2pa.C2paError, KeyError, TypeError, ValueError) as e:
            raise SigningFailed(why=Phrase("the C2PA library says: {reason}", reason=e)) from e
        return out.getvalue()

    def close(self) -> None:
        """Free the key's memory."""
        self._signer.close()
        self._context.close()
