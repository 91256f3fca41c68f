"""Captions to hidden states, by any Hugging Face decoder language model or a T5 encoder; and their store on disk."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.weights import weight_files
from engine.contract.errors import BrokenWeights, Phrase, WrongTokenizer
from engine.system import caption_cache
from engine.system.caption_cache import PackedStates


@dataclass(frozen=True)
class Feature:
    """One caption as the denoiser reads it: ``[tokens, channels]``, in the encoder's dtype, on the CPU."""

    states: Tensor
    cut: bool  # the caption was longer than the model reads

    @property
    def tokens(self) -> int:
        return len(self.states)


class CaptionEncoder:
    """A text encoder and its tokenizer.

    Captions are encoded one at a time and without padding. Under a causal mask, and under T5's own mask, that equals
    the padded-and-masked form of the reference pipelines up to rounding, and a caption's features never depend on
    which others are encoded in the same call, so stored features are always the same.

    Raises:
        WrongTokenizer, BrokenWeights: the parts do not load or do not fit each other.
    """

    def __init__(self, folder: ModelFolder, *, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import AutoConfig, AutoModel, AutoTokenizer
        from transformers.models.t5 import T5EncoderModel
        from transformers.models.umt5 import UMT5EncoderModel

        self.max_tokens, self.device = folder.max_tokens, device
        self._pixart_text = folder.pixart_text
        self._lock = threading.Lock()  # a tokenizer's options change its state while it works
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(
                folder.tokenizer, local_files_only=True, trust_remote_code=False
            )
        except Exception as e:  # transformers raises many types here; in any case the file is unusable
            raise WrongTokenizer(
                path=folder.tokenizer, why=Phrase("it cannot be read ({reason})", reason=_short(e))
            ) from e
        try:
            config = AutoConfig.from_pretrained(folder.text_encoder, local_files_only=True, trust_remote_code=False)
            if config.num_hidden_layers < 1:
                raise ValueError(f"num_hidden_layers is {config.num_hidden_layers}")
            loader: Any = {"t5": T5EncoderModel, "umt5": UMT5EncoderModel}.get(config.model_type, AutoModel)
            first = weight_files(folder.text_encoder)[0].name
            model, info = loader.from_pretrained(
                folder.text_encoder,
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=dtype,
                variant=next((v for v in ("fp16", "bf16") if f".{v}." in first or f".{v}-" in first), None),
                output_loading_info=True,
            )
            self.model = model.eval().requires_grad_(False).to(device)
        except Exception as e:
            raise BrokenWeights(
                path=folder.text_encoder, why=Phrase("it cannot be loaded ({reason})", reason=_short(e))
            ) from e
        if info["missing_keys"]:  # transformers would initialise them at random
            raise BrokenWeights(
                path=folder.text_encoder, why=Phrase("the tensor {name} is missing", name=min(info["missing_keys"]))
            )
        rows = self.model.get_input_embeddings().weight.shape[0]
        if len(self.tokenizer) > rows:
            raise WrongTokenizer(
                path=folder.tokenizer,
                why=Phrase("it has {tokens} tokens, the encoder knows {rows}", tokens=len(self.tokenizer), rows=rows),
            )
        channels = folder.denoiser_config.get("caption_channels")
        if channels and channels != config.hidden_size:
            raise BrokenWeights(
                path=folder.text_encoder,
                why=Phrase(
                    "its features have {found} channels, the denoiser reads {wanted}",
                    found=config.hidden_size,
                    wanted=channels,
                ),
            )

    @torch.inference_mode()
    def encode(self, text: str) -> Feature:
        """Last hidden states of one caption (for decoders after the final norm, as ``hidden_states[-1]``).

        Thread-safe.
        """
        if self._pixart_text:  # PixArt's pipelines strip and lower their captions before T5
            text = text.lower().strip()
        with self._lock:
            ids = self.tokenizer(text, truncation=True, max_length=self.max_tokens, return_tensors="pt")["input_ids"]
            cut = (
                ids.shape[1] == self.max_tokens
                and len(self.tokenizer(text, verbose=False)["input_ids"]) > self.max_tokens
            )
            mask = torch.ones_like(ids)
            if ids.shape[1] == 0:
                # An empty caption under a tokenizer that adds no special tokens. The reference pads it to full length,
                # masks all of it, and the denoiser then attends to all the padding equally: the same is done here.
                batch = self.tokenizer(
                    text, padding="max_length", truncation=True, max_length=self.max_tokens, return_tensors="pt"
                )
                ids, mask = batch["input_ids"], batch["attention_mask"]
        states = self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device)).last_hidden_state[0]
        if not bool(torch.isfinite(states).all()):
            raise BrokenWeights(path=self.tokenizer.name_or_path, why=Phrase("its features are not finite"))
        return Feature(states.cpu().contiguous(), bool(cut))


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class FeatureStore(caption_cache.FeatureStore[Feature]):
    """Features of one encoder on disk."""

    def __init__(self, encoder_sha256: str, dtype: torch.dtype, folder: Path | None = None) -> None:
        """``folder`` replaces the user's own cache."""
        super().__init__(encoder_sha256, str(dtype).removeprefix("torch."), folder)

    def to_states(self, feature: Feature) -> PackedStates:
        """The feature as bytes."""
        states = feature.states.contiguous()
        return PackedStates(
            _NAMES[states.dtype], tuple(states.shape), states.view(torch.uint8).numpy().tobytes(), feature.cut
        )

    def to_feature(self, states: PackedStates) -> Feature:
        """The inverse of ``to_states``."""
        flat = torch.frombuffer(bytearray(states.data), dtype=_DTYPES[states.dtype])
        return Feature(flat.reshape(states.shape), states.cut)
