"""The installed models, and whether the bundled one is complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.library import InstalledModel, find_all, remembered_parts
from engine.checkpoint.memory_plan import memory_needs
from engine.contract.errors import CommonArtError, Phrase
from engine.contract.paths import home
from engine.contract.request import ImageRequest
from engine.doctor.checks import Check, first_line, make_check


def _identify(model: InstalledModel) -> ModelFolder:
    """A model with the parts that were remembered for it. Raises what ``identify`` raises."""
    parts = {
        k: Path(v) for k, v in remembered_parts(model.path).items() if k in ("text_encoder", "vae") and Path(v).is_dir()
    }
    return identify(model.path, **parts, name=model.name)


def installed_models() -> Iterator[Check]:
    """How many there are, and whether the bundled one is complete (its files, not every value in them)."""
    installed = list(find_all())
    advice = Phrase(
        "Put a model folder into {path}, or give its folder with {option}", path=home() / "models", option="--model"
    )
    yield make_check(
        "models",
        Phrase("Models"),
        "ok" if installed else "warning",
        str(len(installed)),
        None if installed else advice,
    )
    name = ImageRequest(prompt="", seed=0).model
    label = Phrase("Bundled model")
    bundled = next((m for m in installed if m.source == "bundled" and m.name == name), None)
    if bundled is None:
        advice = Phrase("{name} is not there: install CommonArt Desktop again", name=name)
        yield make_check("bundled-model", label, "missing", None, advice)
        return
    try:
        yield make_check("bundled-model", label, "ok", f"{name}, {_identify(bundled).own_side} px")
    except Exception as e:
        advice = Phrase("It is damaged ({reason}): install CommonArt Desktop again", reason=first_line(e))
        yield make_check("bundled-model", label, "missing", name, advice)


def largest_model() -> ModelFolder | None:
    """The largest installed model that PyTorch runs."""
    largest: tuple[int, ModelFolder] | None = None
    for one in find_all():
        try:
            model = _identify(one)
            need = memory_needs(model, "bf16") if model.layout != "onnx" else None
        except CommonArtError:
            continue
        if need and (largest is None or need.denoiser + need.encoder > largest[0]):
            largest = need.denoiser + need.encoder, model
    return largest[1] if largest else None
