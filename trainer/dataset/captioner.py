"""A vision language model from a local folder, as a function from images to captions.

The only part of the dataset tools that loads torch.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.contract.errors import NoCaptioner, NoDevice, Phrase
from trainer.dataset.files import sha256_of, text_of

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE = 1344  # pixels; no supported family uses a finer resolution
_JAPANESE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True)
class Family:
    """Capabilities of a supported model type."""

    name: str
    prompts: dict[str, str]  # language -> default prompt; unsupported languages are missing
    chat: bool  # prompted with free text in a chat template
    if_asked: tuple[str, ...] = ()  # languages it may know by its fine-tuning: only with a prompt of the user's own


FAMILIES = {
    # Florence-2 accepts task tokens only, and was trained on English; so was BLIP-2
    "florence2": Family("Florence-2", {"en": "<DETAILED_CAPTION>"}, False),
    "blip-2": Family("BLIP-2", {"en": ""}, False),
    "llava": Family("LLaVA", {"en": "Describe this image in one sentence."}, True, ("ja",)),
    "qwen2_vl": Family(
        "Qwen2-VL",
        {
            "en": "Describe this image in one sentence. Answer in English.",
            "ja": "この画像を日本語の一文で説明してください。",
        },
        True,
    ),
}


def family_of(folder: Path | None) -> tuple[str, Family]:
    """The folder's model type, without loading anything.

    Raises:
        NoCaptioner: none given, another kind, or pickled weights.
    """
    if folder is None:
        raise NoCaptioner(path="--model", why=Phrase("no model folder is given"))
    if not (folder / "config.json").is_file():
        raise NoCaptioner(path=folder, why=Phrase("it has no config.json"))
    try:
        config = json.loads(text_of(folder / "config.json", limit=4_000_000))
    except (ValueError, RecursionError) as e:
        raise NoCaptioner(path=folder, why=Phrase("its config.json is not JSON")) from e
    kind = str(config.get("model_type", "?")) if isinstance(config, dict) else "?"
    if kind not in FAMILIES:
        raise NoCaptioner(path=folder, why=Phrase("it is of the kind {kind!r}, which is not known here", kind=kind))
    if not list(folder.glob("*.safetensors")):
        raise NoCaptioner(path=folder, why=Phrase("it has no weights as safetensors"))
    return kind, FAMILIES[kind]


def fingerprint(folder: Path) -> str:
    """Twelve digits of a SHA-256 over the configuration and all weights."""
    digest = hashlib.sha256()
    for file in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        digest.update(f"{file.name} {sha256_of(file)}\n".encode())
    return digest.hexdigest()[:12]


def device_of(wanted: str) -> str:
    """``auto`` becomes the best there is. Raises NoDevice."""
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(d for d in ("cuda", "mps", "cpu") if there[d])
    if not there.get(wanted.split(":")[0]):
        raise NoDevice(device=wanted, why=Phrase("PyTorch does not find it on this machine"))
    return wanted


class Captioner:
    """A loaded model. Greedy decoding: the same image gives the same caption on the same machine."""

    def __init__(self, folder: Path, *, device: str = "auto", max_tokens: int = 128) -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoTokenizer

        self.kind, self.family = family_of(folder)
        self.device, self.max_tokens = device_of(device), max_tokens
        self.dtype = torch.float32 if self.device == "cpu" else torch.bfloat16
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **local)
            self.processor = None if self.kind == "qwen2_vl" else self._processor(folder, local)
            self.images = self._image_processor(folder) if self.kind == "qwen2_vl" else None
            model: Any = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=self.dtype, use_safetensors=True, **local
            )
        except (OSError, ValueError, ImportError, KeyError, RuntimeError, TypeError, AttributeError) as e:
            detail = str(e).strip().splitlines()[0][:300] if str(e).strip() else type(e).__name__
            raise NoCaptioner(path=folder, why=Phrase("transformers cannot load it ({detail})", detail=detail)) from e
        self.model = model.to(self.device).eval()
        self.model.requires_grad_(False)
        if self.kind != "florence2":  # decoder-only models continue from the right end
            (self.processor.tokenizer if self.processor else self.tokenizer).padding_side = "left"
        self.name = re.sub(r"[^\w.\-]+", "_", folder.resolve().name)
        self.origin = f"machine:{self.name}@{fingerprint(folder)}"

    def _processor(self, folder: Path, local: dict[str, Any]) -> Any:
        from transformers import AutoProcessor

        processor: Any = AutoProcessor
        return processor.from_pretrained(folder, backend="pil", **local)

    @staticmethod
    def _image_processor(folder: Path) -> Any:
        """The image half of Qwen2-VL's processor, whose video half requires torchvision."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        return Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)

    def languages(self, prompts: dict[str, str]) -> set[str]:
        """Supported languages, including those that need a prompt of the user's own."""
        return set(self.family.prompts) | {x for x in self.family.if_asked if prompts.get(x)}

    def __call__(self, images: Sequence[Image], language: str, prompt: str = "") -> list[str]:
        """A caption for each RGB image; empty where the model wrote nothing, or in another language."""
        import torch

        question = prompt or self.family.prompts[language]
        small = []
        for image in images:
            copy = image.copy()
            copy.thumbnail((_SIDE, _SIDE))
            small.append(copy)
        inputs = self._qwen(small, question) if self.kind == "qwen2_vl" else self._processed(small, question)
        inputs = {
            k: (v.to(self.device, self.dtype) if v.is_floating_point() else v.to(self.device))
            for k, v in inputs.items()
        }
        with torch.inference_mode():
            out = self.model.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False, num_beams=1)
        given = inputs.get("input_ids")
        if given is not None and out.shape[1] >= given.shape[1] and bool((out[:, : given.shape[1]] == given).all()):
            out = out[:, given.shape[1] :]  # decoder-only models repeat the prompt
        tokenizer = self.processor.tokenizer if self.processor else self.tokenizer
        texts = [clean(t) for t in tokenizer.batch_decode(out, skip_special_tokens=True)]
        return [t if (language == "ja") == bool(_JAPANESE.search(t)) else "" for t in texts]

    def _processed(self, images: list[Image], question: str) -> dict[str, Any]:
        assert self.processor is not None
        text = question
        if self.family.chat:
            turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
            has_template = getattr(self.processor, "chat_template", None)
            text = (
                self.processor.apply_chat_template(turn, add_generation_prompt=True)
                if has_template
                else f"USER: <image>\n{question} ASSISTANT:"
            )
        made = self.processor(images=images, text=[text] * len(images), return_tensors="pt")
        return {k: v for k, v in made.items() if k in ("input_ids", "attention_mask", "pixel_values")}

    def _qwen(self, images: list[Image], question: str) -> dict[str, Any]:
        """Inputs with one image token for each merged patch, as Qwen2-VL's own processor builds them."""
        import torch

        assert self.images is not None
        seen = self.images(images, return_tensors="pt")
        merged = self.images.merge_size**2
        turns = []
        for grid in seen["image_grid_thw"]:
            places = "<|image_pad|>" * (int(grid.prod()) // merged)
            turns.append(
                "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
                f"<|vision_start|>{places}<|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"
            )
        text = self.tokenizer(turns, return_tensors="pt", padding=True)
        marks = (text["input_ids"] == self.model.config.image_token_id).to(torch.int64)
        return {
            "input_ids": text["input_ids"],
            "attention_mask": text["attention_mask"],
            "pixel_values": seen["pixel_values"],
            "image_grid_thw": seen["image_grid_thw"],
            "mm_token_type_ids": marks,
        }


def clean(text: str) -> str:
    """One line without control characters."""
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())[:10_000]
