"""What is asked for: one picture, with everything random already fixed."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any

from engine.contract.errors import BadValue, Phrase, UnknownSampler

SAMPLERS = ("dpm++2m", "dpm++2m-karras", "dpm++2m-sde", "dpm++3m", "unipc", "euler", "euler-a", "heun", "ddim", "deis",
            "lms", "pndm")
DTYPES = ("auto", "fp32", "bf16", "fp16")
FORMATS = ("png", "webp", "jpeg")
MAX_SEED = 2**63 - 1
_TEXTS = ("prompt", "negative", "template", "model", "text_encoder", "vae", "sampler", "dtype", "out", "name", "format")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def _number(name: str, value: Any, low: float, high: float, whole: bool = True) -> None:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise BadValue(name=name, value=value, why=Phrase("it must be a whole number" if whole else "it must be a number"))
    if not low <= value <= high:  # also refuses nan
        raise BadValue(name=name, value=value, why=Phrase("it must lie between {low} and {high}", low=low, high=high))


def _choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadValue(name=name, value=value, why=Phrase("choose one of {known}", known=", ".join(known)))


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One picture to make.

    ``prompt`` is the text as the model reads it; ``template`` what the user wrote and ``draw`` what chance chose
    from it. ``model`` and the parts are names or folders as the user gave them; sizes are pixels. Two requests with
    the same ``batch_key`` may share a micro-batch.

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
                raise BadValue(name=name, value=repr(text[:40]), why=Phrase("it holds the control character {code}", code="U+0000"))
        if not isinstance(self.deterministic, bool):
            raise BadValue(name="deterministic", value=self.deterministic, why=Phrase("it must be true or false"))
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
                raise BadValue(name=name, value=repr(text[:40]),
                               why=Phrase("it holds the control character {code}", code=f"U+{ord(bad[0]):04X}"))
        _number("seed", self.seed, 0, MAX_SEED)
        _number("steps", self.steps, 1, 1000)
        _number("guidance", self.guidance, 0, 100, whole=False)
        for name in ("width", "height"):
            if getattr(self, name) is not None:
                _number(name, getattr(self, name), 16, 8192)
        if self.sampler not in SAMPLERS:
            raise UnknownSampler(name=self.sampler, known=", ".join(SAMPLERS))
        _choice("dtype", self.dtype, DTYPES)
        _choice("format", self.format, FORMATS)

    @property
    def batch_key(self) -> str:
        """Equal for requests that one micro-batch can hold; prompts, seeds and the strength of guidance may differ.

        Guidance of 1 or less needs no negative half, so it does not share a batch with guidance above 1.
        """
        return json.dumps([self.model, self.text_encoder, self.vae, self.width, self.height, self.steps, self.sampler,
                           self.dtype, self.deterministic, self.guidance > 1], ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the settings that are as they would be anyway."""
        out = {k: v for k, v in self.__dict__.items() if v != _DEFAULTS[k]}
        if self.draw:
            out["draw"] = list(self.draw)
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
    f.name: f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default for f in dataclasses.fields(ImageRequest)}
