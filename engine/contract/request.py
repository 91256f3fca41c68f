"""A request for one image, with everything random already fixed."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any

from engine.contract.errors import BadValue, Phrase, UnknownSampler
from engine.contract.sampling_plan import SamplingPlan

SAMPLERS = (
    "dpm++2m",
    "dpm++2m-karras",
    "dpm++2m-sde",
    "dpm++3m",
    "unipc",
    "euler",
    "euler-a",
    "heun",
    "ddim",
    "deis",
    "lms",
    "pndm",
)
DTYPES = ("auto", "fp32", "bf16", "fp16")
FORMATS = ("png", "webp", "jpeg")
#: how much the pixels may move for speed; docs/performance.md has each one's measured loss
PRESETS = ("exact", "balanced", "fast", "draft")
MAX_SEED = 2**63 - 1
RANDOM_SEED = -1  # as in AUTOMATIC1111's web UI and ComfyUI
_TEXTS = (
    "prompt",
    "negative",
    "template",
    "model",
    "text_encoder",
    "vae",
    "sampler",
    "dtype",
    "preset",
    "out",
    "name",
    "format",
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def _number(name: str, value: Any, low: float, high: float, whole: bool = True) -> None:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise BadValue(
            name=name, value=value, why=Phrase("it must be a whole number" if whole else "it must be a number")
        )
    if not low <= value <= high:  # also refuses nan
        raise BadValue(name=name, value=value, why=Phrase("it must lie between {low} and {high}", low=low, high=high))


def fixed_seed(value: Any) -> int | None:
    """A seed as a person gives it; None for a random one, which ``RANDOM_SEED`` and None ask for.

    Raises:
        BadValue: it is neither a whole number from 0 to ``MAX_SEED`` nor ``RANDOM_SEED``.
    """
    if value is None or (value == RANDOM_SEED and type(value) is int):
        return None
    if type(value) is not int or not 0 <= value <= MAX_SEED:
        raise BadValue(
            name="seed",
            value=value,
            why=Phrase("it must be a whole number from {low} to {high}, or -1 for a random one", low=0, high=MAX_SEED),
        )
    return value


def _choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadValue(name=name, value=value, why=Phrase("choose one of {known}", known=", ".join(known)))


def _loras(given: Any) -> tuple[tuple[str, float], ...]:
    """(name or file, scale) pairs from JSON data. Raises BadValue."""
    if not isinstance(given, (list, tuple)) or len(given) > 16:
        raise BadValue(
            name="loras", value=given, why=Phrase("it must be a list of at most {n} pairs of file and scale", n=16)
        )
    for pair in given:
        if (
            not isinstance(pair, (list, tuple))
            or len(pair) != 2
            or not isinstance(pair[0], str)
            or not pair[0]
            or "\0" in pair[0]
        ):
            raise BadValue(
                name="loras", value=given, why=Phrase("it must be a list of at most {n} pairs of file and scale", n=16)
            )
        _number("lora scale", pair[1], -10, 10, whole=False)
    return tuple((name, float(scale)) for name, scale in given)


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One image to generate.

    ``prompt`` is the text that the model gets; ``template`` what the user wrote and ``draw`` the random choices
    from it. ``model`` and the parts are names or folders as the user gave them; ``loras`` are (name or file, scale)
    pairs, added to the model's weights unless ``lora_merged`` is false; sizes are pixels. Two requests with the same
    ``batch_key`` may share a micro-batch.

    Raises:
        BadValue, UnknownSampler: a field is out of its range.
    """

    prompt: str
    seed: int
    template: str = ""
    draw: tuple[str, ...] = ()
    negative: str = ""
    model: str = "commonart-mini"
    text_encoder: str | None = None
    vae: str | None = None
    width: int | None = None  # None: the model's own size
    height: int | None = None
    steps: int = 20
    guidance: float = 4.5
    sampler: str = "dpm++2m"
    dtype: str = "auto"
    deterministic: bool = False
    preset: str = "exact"
    preset_did: dict[str, Any] = field(
        default_factory=dict
    )  # the SamplingPlan that the preset resolved to; empty before
    loras: tuple[tuple[str, float], ...] = ()
    lora_merged: bool = True
    out: str = ""
    name: str = ""
    format: str = "png"
    extra: dict[str, str] = field(default_factory=dict)  # columns of a prompt file, for the name template

    def __post_init__(self) -> None:
        for name in _TEXTS:
            text = getattr(self, name)
            if not isinstance(text, str) and not (text is None and name in ("text_encoder", "vae")):
                raise BadValue(name=name, value=text, why=Phrase("it must be text"))
            if text and name != "template" and "\0" in text:
                raise BadValue(
                    name=name, value=repr(text[:40]), why=Phrase("it holds the control character {code}", code="U+0000")
                )
        for name in ("deterministic", "lora_merged"):
            if not isinstance(getattr(self, name), bool):
                raise BadValue(name=name, value=getattr(self, name), why=Phrase("it must be true or false"))
        object.__setattr__(self, "loras", _loras(self.loras))
        if not all(isinstance(d, str) for d in self.draw):
            raise BadValue(name="draw", value=self.draw, why=Phrase("it must be a list of texts"))
        if not isinstance(self.extra, dict) or not all(isinstance(x, str) for pair in self.extra.items() for x in pair):
            raise BadValue(name="extra", value=self.extra, why=Phrase("it must be texts by name"))
        for name in ("prompt", "negative"):
            text = getattr(self, name)
            if len(text) > 20_000:
                raise BadValue(name=name, value=text[:20] + "…", why=Phrase("it is longer than {n} letters", n=20_000))
            bad = _CONTROL.search(text)
            if bad is not None:
                raise BadValue(
                    name=name,
                    value=repr(text[:40]),
                    why=Phrase("it holds the control character {code}", code=f"U+{ord(bad[0]):04X}"),
                )
        if fixed_seed(self.seed) is None:
            raise BadValue(name="seed", value=self.seed, why=Phrase("an image is made from a fixed seed"))
        _number("steps", self.steps, 1, 1000)
        _number("guidance", self.guidance, 0, 100, whole=False)
        for name in ("width", "height"):
            if getattr(self, name) is not None:
                _number(name, getattr(self, name), 16, 8192)
        if self.sampler not in SAMPLERS:
            raise UnknownSampler(name=self.sampler, known=", ".join(SAMPLERS))
        _choice("dtype", self.dtype, DTYPES)
        _choice("format", self.format, FORMATS)
        _choice("preset", self.preset, PRESETS)
        if self.preset_did != {}:
            SamplingPlan.from_dict(self.preset_did)

    @property
    def batch_key(self) -> str:
        """Equal for requests that may share a micro-batch; prompts, seeds and guidance scales may differ.

        Guidance of 1 or less needs no negative half, so it does not share a batch with guidance above 1.
        """
        return json.dumps(
            [
                *self.model_key,
                self.width,
                self.height,
                self.steps,
                self.sampler,
                self.deterministic,
                self.preset,
                self.guidance > 1,
                *([self.preset_did] if self.preset_did else []),
            ],
            ensure_ascii=False,
        )

    @property
    def model_key(self) -> tuple[Any, ...]:
        """Equal for requests that use the same loaded model."""
        return self.model, self.text_encoder, self.vae, self.dtype, self.loras, self.lora_merged

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without settings at their defaults."""
        out = {k: v for k, v in self.__dict__.items() if v != _DEFAULTS[k]}
        if self.draw:
            out["draw"] = list(self.draw)
        if self.loras:
            out["loras"] = [list(pair) for pair in self.loras]
        return out

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ImageRequest:
        """The inverse of ``to_dict``; unknown keys are an error.

        Raises:
            BadValue: an unknown key or a value out of range.
        """
        for key in data:
            if key not in _DEFAULTS:
                raise BadValue(name=key, value=data[key], why=Phrase("there is no such setting"))
        draw = data.get("draw", ())
        if not isinstance(draw, (list, tuple)) or "prompt" not in data or "seed" not in data:
            raise BadValue(name="request", value="…", why=Phrase("it has no prompt and seed, or they make no sense"))
        return cls(**{**data, "draw": tuple(draw)})


_DEFAULTS: dict[str, Any] = {
    f.name: f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
    for f in dataclasses.fields(ImageRequest)
}
