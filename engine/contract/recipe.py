"""Everything needed to generate an image again, as JSON, and as the ``parameters`` text that other tools read."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from engine.contract import sampling_plan
from engine.contract.errors import BadValue, Phrase, PromptHidden
from engine.contract.request import PRESETS, ImageRequest

VERSION = 1
#: the names A1111 and its readers use
SAMPLER_NAMES = {
    "dpm++2m": "DPM++ 2M",
    "dpm++2m-karras": "DPM++ 2M Karras",
    "dpm++2m-sde": "DPM++ 2M SDE",
    "dpm++3m": "DPM++ 3M",
    "unipc": "UniPC",
    "euler": "Euler",
    "euler-a": "Euler a",
    "heun": "Heun",
    "ddim": "DDIM",
    "deis": "DEIS",
    "lms": "LMS",
    "pndm": "PLMS",
}
#: fields of a request that its recipe omits: paths on the creator's disk
_PRIVATE = ("out", "text_encoder", "vae")


def identity(row: int, request: ImageRequest) -> str:
    """A hash that ties a file to its ledger row."""
    text = json.dumps([row, request.to_dict()], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def build(
    request: ImageRequest,
    *,
    model: str,
    hashes: dict[str, str],
    backend: dict[str, Any],
    batch: tuple[int, int],
    pixel_sha256: str,
    app: str,
    row: str = "",
    unknown_words: list[str] | None = None,
    cut: bool = False,
    loras: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The recipe of one image.

    ``request`` has its size settled; ``hashes`` are the parts' SHA-256; ``backend`` has name, device, dtype and library
    versions; ``batch`` is (rows in the micro-batch, this row's index), which decide the last bits; ``loras`` have for
    each LoRA its name, SHA-256 and scale, and what it was trained on as far as its file says.
    """
    loras = loras or []
    # all settings, including defaults: a default may change
    settings = {k: v for k, v in vars(request).items() if k not in _PRIVATE} | {"draw": list(request.draw)}
    settings |= {"model": model, "loras": [[one["name"], one["scale"]] for one in loras]}
    return {
        "commonart": VERSION,
        "app": app,
        "request": settings,
        "hashes": hashes,
        "loras": loras,
        "backend": backend,
        "batch": list(batch),
        "pixel_sha256": pixel_sha256,
        "row": row,
        "unknown_words": unknown_words or [],
        "prompt_cut": cut,
    }


def check(recipe: Any) -> None:
    """Check that it is a recipe of this version, before anything in it is used.

    Raises:
        BadValue: the invalid part is named.
    """

    def wrong(part: str) -> BadValue:
        return BadValue(name="recipe", value="…", why=Phrase("its part {part} makes no sense", part=part))

    if not isinstance(recipe, dict) or recipe.get("commonart") != VERSION:
        raise BadValue(name="recipe", value="…", why=Phrase("this program reads version {n}", n=VERSION))
    for part, keys in (
        ("request", ("prompt", "model")),
        ("hashes", ("denoiser",)),
        ("backend", ("backend", "device", "dtype")),
    ):
        if not isinstance(recipe.get(part), dict) or not all(isinstance(recipe[part].get(k), str) for k in keys):
            raise wrong(part)
    batch = recipe.get("batch")
    if not isinstance(batch, list) or [type(n) for n in batch] != [int, int] or not 0 <= batch[1] < batch[0] <= 256:
        raise wrong("batch")
    if not all(isinstance(recipe.get(k), str) for k in ("app", "pixel_sha256")):
        raise wrong("app")
    loras = recipe.get("loras", [])
    if not isinstance(loras, list) or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) and isinstance(one.get("sha256"), str)
        for one in loras
    ):
        raise wrong("loras")


def request_of(recipe: dict[str, Any]) -> ImageRequest:
    """The request a recipe was made from; the model is a name only, never a path.

    Raises:
        BadValue: the recipe is not one, or is from another version. PromptHidden: it keeps only a hash of its prompt.
    """
    check(recipe)
    if recipe.get("prompt_hidden") is True:
        raise PromptHidden(path=str(recipe["request"].get("model", "")))
    data = {k: v for k, v in recipe["request"].items() if k not in _PRIVATE}
    if (
        "preset_did" not in data
        and data.get("preset") in PRESETS
        and isinstance(data.get("sampler"), str)
        and type(data.get("steps")) is int
    ):
        data["preset_did"] = sampling_plan.legacy_plan(data["preset"], data["sampler"], data["steps"])
    request = ImageRequest.from_dict(data)
    for name in (request.model, *(name for name, _ in request.loras)):
        if "\\" in name or name.startswith(("/", ".", "~")) or ":" in name or ".." in name:
            raise BadValue(name="model", value=name[:60], why=Phrase("a recipe may name a model, not a path"))
    return request


def _quoted(value: str) -> str:
    # A1111 writes values with these characters as JSON strings
    return json.dumps(value, ensure_ascii=False) if any(c in value for c in ',:\n"') else value


def parameters(recipe: dict[str, Any]) -> str:
    """The text under the PNG key ``parameters``: prompt, negative prompt, and one line of ``Key: value`` pairs.

    Newlines in prompts become spaces, since a line may otherwise be taken for the negative prompt.
    """
    r = ImageRequest.from_dict(recipe["request"])
    lines = [" ".join(r.prompt.split())]
    if r.negative:
        lines.append("Negative prompt: " + " ".join(r.negative.split()))
    pairs = {
        "Steps": str(r.steps),
        "Sampler": SAMPLER_NAMES[r.sampler],
        "CFG scale": f"{r.guidance:g}",
        "Seed": str(r.seed),
        "Size": f"{r.width}x{r.height}",
        "Model hash": recipe["hashes"]["denoiser"][:10],
        "Model": r.model,
        "Version": recipe["app"],
    }
    if recipe.get("loras"):  # the form that A1111 and its readers use
        pairs["Lora hashes"] = ", ".join(f"{one['name']}: {one['sha256'][:12]}" for one in recipe["loras"])
    lines.append(", ".join(f"{k}: {_quoted(v)}" for k, v in pairs.items()))
    return "\n".join(lines)
