"""Encoders as Hugging Face transformers folders: CLIP, SigLIP, Chinese and Japanese CLIPs of those classes, DINO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.checkpoint.config_files import read_config
from engine.contract.errors import BadEncoder, CommonArtError, Phrase
from trainer.evaluation.encoders.base import checked, hash_of
from trainer.evaluation.encoders.preprocess import from_preprocessor

_TOKENIZERS = (
    "tokenizer*.json",
    "vocab*",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "added_tokens.json",
)


class TransformersEncoder:
    """``AutoModel`` with safetensors weights in float32. Pillow resizes the images, so torchvision is not needed."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._folder, self.name = folder, folder.resolve().name
        config = read_config(folder / "config.json")
        if "auto_map" in config:
            raise BadEncoder(
                path=folder,
                why=Phrase("it wants to run code of its own, which is never done; an ONNX export of it can be used"),
            )
        weights = sorted(folder.glob("*.safetensors"))
        if not weights:
            raise BadEncoder(path=folder, why=Phrase("it has no .safetensors file; pickled weights are not read"))
        import torch
        from transformers import AutoModel

        self._torch = torch
        self._device = "cuda" if device in ("auto", "cuda") and torch.cuda.is_available() else "cpu"
        try:
            self._model: Any = (
                AutoModel.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
                )
                .eval()
                .to(self._device)
            )
        except Exception as e:  # whatever is wrong in the folder is reported as one sentence
            raise BadEncoder(
                path=folder, why=Phrase("transformers cannot open it: {error}", error=_first_line(e))
            ) from e
        vision = config.get("vision_config") if isinstance(config.get("vision_config"), dict) else config
        side = (
            vision.get("image_size") if isinstance(vision, dict) and isinstance(vision.get("image_size"), int) else None
        )
        given = folder / "preprocessor_config.json"
        self._fitting = from_preprocessor(read_config(given) if given.is_file() else {}, folder, side)
        self.resizer = str(self._fitting)
        files = {*weights, *(f for f in (given, folder / "config.json") if f.is_file())}
        self.reads_text = hasattr(self._model, "get_text_features")
        if self.reads_text:
            self._tokenizer, self._length = self._load_tokenizer(config)
            files |= {f for pattern in _TOKENIZERS for f in folder.glob(pattern) if f.is_file()}
        self.sha256 = hash_of(sorted(files))

    def _load_tokenizer(self, config: dict[str, Any]) -> tuple[Any, int]:
        """The tokenizer and the maximal number of tokens of the text model."""
        from transformers import AutoTokenizer

        tokenizer_config = config.get("tokenizer_config") or {}
        try:
            if (self._folder / "tokenizer_config.json").is_file():
                tokenizer_config = read_config(self._folder / "tokenizer_config.json")
            if "auto_map" in tokenizer_config:
                raise BadEncoder(
                    path=self._folder,
                    why=Phrase(
                        "it wants to run code of its own, which is never done; an ONNX export of it can be used"
                    ),
                )
            tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True, trust_remote_code=False)
        except CommonArtError:
            raise
        except Exception as e:
            raise BadEncoder(
                path=self._folder, why=Phrase("its tokenizer cannot be opened: {error}", error=_first_line(e))
            ) from e
        text = config.get("text_config") if isinstance(config.get("text_config"), dict) else {}
        length = int((text or {}).get("max_position_embeddings", 0) or 77)
        return tokenizer, min(length, int(min(getattr(tokenizer, "model_max_length", length), 100_000)))

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
        """float32 ``[n, d]``."""
        pixels = self._torch.from_numpy(self._fitting.batch(images)).to(self._device)
        with self._torch.inference_mode():
            try:
                encode = getattr(self._model, "get_image_features", self._model)
                out = encode(pixel_values=pixels)
            except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as e:
                raise BadEncoder(
                    path=self._folder,
                    why=Phrase("it does not take images of {size}: {error}", size=self.resizer, error=_first_line(e)),
                ) from e
        return checked(_rows(out).float().cpu().numpy(), len(images), self._folder)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """float32 ``[n, d]``; longer texts are truncated to the model's maximum."""
        # SigLIP was trained with full-length padding and no mask; the others need a mask
        siglip = "siglip" in str(getattr(self._model.config, "model_type", ""))
        tokens = self._tokenizer(
            list(texts),
            padding="max_length" if siglip else True,
            truncation=True,
            max_length=self._length,
            return_tensors="pt",
        )
        given = {
            k: v.to(self._device)
            for k, v in tokens.items()
            if k in (("input_ids",) if siglip else ("input_ids", "attention_mask", "token_type_ids"))
        }
        if getattr(self._model.config, "model_type", "") in ("clip", "siglip", "siglip2"):
            given.pop("token_type_ids", None)
        with self._torch.inference_mode():
            try:
                out = self._model.get_text_features(**given)
            except (RuntimeError, ValueError, TypeError, IndexError) as e:
                raise BadEncoder(
                    path=self._folder,
                    why=Phrase("it does not take its tokenizer's words: {error}", error=_first_line(e)),
                ) from e
        return checked(_rows(out).float().cpu().numpy(), len(texts), self._folder)


def _rows(out: Any) -> Any:
    """The tensor with one row per image or text."""
    if hasattr(out, "detach"):
        return out
    pooled = getattr(out, "pooler_output", None)
    return pooled if pooled is not None else out.last_hidden_state


def _first_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]
