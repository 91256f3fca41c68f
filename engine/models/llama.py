"""A plain Llama as caption encoder, with the parameter names of ``LlamaForCausalLM`` and ``LlamaModel``.

The same operations in the same order as transformers' class with its usual attention, so the same features bit by bit, without
importing that library's model machinery, which takes longer than drawing a picture. Whatever is not plain (other rotary
embeddings, biases, tokenizers with rules in code) goes through transformers: see ``engine.models.text_encoder``.

Architecture: Touvron et al., arXiv 2302.13971; rotary positions: Su et al., arXiv 2104.09864; grouped heads: Ainslie et al., arXiv 2305.13245.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.checkpoint.config_files import read_config
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.weights import weight_files
from engine.contract.errors import BrokenWeights, Phrase
from engine.models.text_encoder import Feature
from engine.models.weight_loading import load_weights, locate_weights_if_they_fit, without_init

_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
#: entries of tokenizer_config.json that change nothing about the ids of a caption, or are obeyed here
_KNOWN = {
    "backend",
    "bos_token",
    "eos_token",
    "unk_token",
    "pad_token",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "tokenizer_class",
    "clean_up_tokenization_spaces",
    "is_local",
    "local_files_only",
    "model_input_names",
}


def is_plain_llama(config: dict[str, Any]) -> bool:
    """Whether a config describes what this module computes."""
    rope = config.get("rope_parameters") or {}
    if (
        config.get("model_type") != "llama"
        or config.get("rope_scaling")
        or not isinstance(rope, dict)
        or rope.get("rope_type", "default") != "default"
    ):
        return False
    if (
        config.get("attention_bias")
        or config.get("mlp_bias")
        or config.get("hidden_act", "silu") != "silu"
        or "quantization_config" in config
    ):
        return False
    if any(type(config.get(k)) is not int or not 0 < config[k] <= 1 << 20 for k in _SIZES):
        return False
    heads, pairs = config["num_attention_heads"], config.get("num_key_value_heads") or config["num_attention_heads"]
    side, theta, eps = (
        config.get("head_dim") or config["hidden_size"] // heads,
        _theta(config),
        config.get("rms_norm_eps", 1e-6),
    )
    return (
        type(pairs) is int
        and type(side) is int
        and 0 < pairs <= heads
        and heads % pairs == 0
        and 0 < side <= 1024
        and side % 2 == 0
        and isinstance(theta, (int, float))
        and theta > 0
        and isinstance(eps, float)
        and 0 < eps < 1
    )


def _theta(config: dict[str, Any]) -> Any:
    return (config.get("rope_parameters") or {}).get("rope_theta") or config.get("rope_theta") or 10000.0


class _Norm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.to(torch.float32)
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * y.to(x.dtype)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    one, two = x.chunk(2, -1)
    return x * cos + torch.cat((-two, one), -1) * sin


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, pairs: int, side: int) -> None:
        super().__init__()
        self.side, self.times = side, heads // pairs
        self.q_proj = nn.Linear(width, heads * side, bias=False)
        self.k_proj, self.v_proj = (nn.Linear(width, pairs * side, bias=False) for _ in range(2))
        self.o_proj = nn.Linear(heads * side, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (-1, self.side)).transpose(1, 2) for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = _turn(q, cos, sin), _turn(k, cos, sin)
        if self.times > 1:
            k, v = (t.repeat_interleave(self.times, 1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and x.shape[1] > 1)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class _Inner(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class _SmallLinear(nn.Module):
    """A matrix in 8 bits, one scale a row (symmetric, rounded to nearest); products are computed in the dtype of what comes in."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = weight.float().abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        self.weight = nn.Parameter((weight.float() / scale).round().to(torch.int8), requires_grad=False)
        self.scale = nn.Parameter(scale.squeeze(1).to(weight.dtype), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype)) * self.scale


class _Layer(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, heads, eps = config["hidden_size"], config["num_attention_heads"], config.get("rms_norm_eps", 1e-6)
        self.self_attn = _Attention(
            width, heads, config.get("num_key_value_heads") or heads, config.get("head_dim") or width // heads
        )
        self.mlp = _Inner(width, config["intermediate_size"])
        self.input_layernorm, self.post_attention_layernorm = _Norm(width, eps), _Norm(width, eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Token ids to hidden states after the final norm."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.embed_tokens = nn.Embedding(config["vocab_size"], width)
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config["num_hidden_layers"])])
        self.norm = _Norm(width, config.get("rms_norm_eps", 1e-6))
        self._side = config.get("head_dim") or width // config["num_attention_heads"]
        self._theta = float(_theta(config))

    def forward(self, ids: Tensor, hidden: bool = False) -> Tensor:
        """``ids [n, tokens]`` -> ``[n, tokens, width]``. ``hidden``: no token may see any, as where a caption is all padding."""
        x = self.embed_tokens(ids)
        count = ids.shape[1]
        turns = 1.0 / self._theta ** (torch.arange(0, self._side, 2, dtype=torch.float) / self._side)
        angles = torch.arange(count)[:, None].float() * turns
        angles = torch.cat((angles, angles), -1).to(x.device)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        mask = torch.zeros(1, 1, count, count, dtype=torch.bool, device=x.device) if hidden else None
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        out: Tensor = self.norm(x)
        return out


class _Tokens:
    """A tokenizer.json that needs no rules in code; see ``open_tokens``."""

    def __init__(self, file: Path, settings: dict[str, Any], most: int) -> None:
        from tokenizers import Tokenizer

        self._whole, self._short = Tokenizer.from_file(str(file)), Tokenizer.from_file(str(file))
        for tokenizer in (self._whole, self._short):
            tokenizer.no_padding()
        self._whole.no_truncation()
        self._short.enable_truncation(most, direction="left" if settings.get("truncation_side") == "left" else "right")
        self.count, self.pad = self._whole.get_vocab_size(), None
        special = {t.content for t in self._whole.get_added_tokens_decoder().values() if t.special}
        for key in ("bos_token", "eos_token", "unk_token", "pad_token"):
            word = settings.get(key)
            word = word.get("content") if isinstance(word, dict) else word
            if word is not None and word not in special:  # transformers would add it, and cut captions at it
                raise ValueError(key)
            if key == "pad_token" and word is not None:
                self.pad = self._whole.token_to_id(word)

    def ids(self, text: str) -> tuple[list[int], bool]:
        """(ids, whether the caption was cut)."""
        ids = self._short.encode(text).ids
        return ids, len(self._whole.encode(text).ids) > len(ids)


def open_tokens(folder: ModelFolder) -> _Tokens | None:
    """The tokenizer, if its file alone says all there is to it; None if transformers has to read it."""
    file, config = folder.tokenizer / "tokenizer.json", folder.tokenizer / "tokenizer_config.json"
    try:
        settings = read_config(config)
        if (
            settings.get("tokenizer_class") not in ("PreTrainedTokenizerFast", "TokenizersBackend")
            or settings.keys() - _KNOWN
            or not file.is_file()
        ):
            return None
        if any((folder.tokenizer / name).exists() for name in ("added_tokens.json", "special_tokens_map.json")):
            return None
        return _Tokens(file, settings, folder.max_tokens)
    except Exception:  # the library raises plain Exception; transformers tells what is wrong
        return None


class LlamaEncoder:
    """``engine.models.text_encoder.CaptionEncoder`` for plain Llamas; the same features."""

    def __init__(
        self, folder: ModelFolder, model: Llama, tokens: _Tokens | _LibraryTokens, device: torch.device
    ) -> None:
        self.device, self.max_tokens = device, folder.max_tokens
        self._folder, self._model, self._tokens = folder, model, tokens

    @torch.inference_mode()
    def encode(self, text: str) -> Feature:
        """See ``CaptionEncoder.encode``. Safe from several threads."""
        ids, cut = self._tokens.ids(text)
        empty = not ids
        if empty:
            ids = [self._tokens.pad or 0] * self.max_tokens
        states = self._model(torch.tensor([ids], device=self.device), empty)[0]
        if not bool(torch.isfinite(states).all()):
            raise BrokenWeights(path=self._folder.text_encoder, why=Phrase("its features are not numbers"))
        return Feature(states.cpu().contiguous(), cut)


class _LibraryTokens:
    """A tokenizer whose rules are in transformers' code."""

    def __init__(self, folder: ModelFolder) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(
            folder.tokenizer, local_files_only=True, trust_remote_code=False
        )
        self._most, self._one_at_a_time = folder.max_tokens, threading.Lock()
        self.count, self.pad = len(self._tokenizer), self._tokenizer.pad_token_id

    def ids(self, text: str) -> tuple[list[int], bool]:
        """(ids, whether the caption was cut)."""
        with self._one_at_a_time:  # it is changed by its own options while it works
            ids = list(self._tokenizer(text, truncation=True, max_length=self._most)["input_ids"])
            return ids, len(ids) == self._most and len(self._tokenizer(text, verbose=False)["input_ids"]) > self._most


def _name(name: str) -> str | None:
    return None if name == "lm_head.weight" or name.endswith("rotary_emb.inv_freq") else name.removeprefix("model.")


def open_llama(
    folder: ModelFolder, *, device: torch.device, dtype: torch.dtype, small: bool = False
) -> LlamaEncoder | None:
    """The encoder, if model and tokenizer are plain and fit each other; None leaves them, and what is wrong with them, to ``CaptionEncoder``.

    ``small``: matrices in 8 bits, made layer by layer while they are read, so that the whole never lies in memory in 16; with any tokenizer.

    Raises:
        BrokenWeights: a file's head cannot be read.
    """
    config = folder.text_config
    if (
        folder.pixart_text
        or not is_plain_llama(config)
        or folder.denoiser_config.get("caption_channels", config["hidden_size"]) != config["hidden_size"]
    ):
        return None
    tokens: _Tokens | _LibraryTokens | None = open_tokens(folder)
    if tokens is None and small:
        try:
            tokens = _LibraryTokens(folder)
        except Exception:  # transformers raises many kinds; ``CaptionEncoder`` tells what is wrong
            return None
    if tokens is None or tokens.pad is None or tokens.count > config["vocab_size"]:
        return None
    with without_init():
        model = Llama(config)
    places = locate_weights_if_they_fit(model, weight_files(folder.text_encoder), _name)
    if places is None:
        return None
    if small:
        for n, layer in enumerate(model.layers):
            mine = {k.removeprefix(f"layers.{n}."): v for k, v in places.items() if k.startswith(f"layers.{n}.")}
            load_weights(layer, mine, device, dtype)
            for part in (layer.self_attn, layer.mlp):
                for name, linear in list(part.named_children()):
                    setattr(part, name, _SmallLinear(linear.weight))
        places = {k: v for k, v in places.items() if not k.startswith("layers.")}
    load_weights(model, places, device, dtype)
    return LlamaEncoder(folder, model.eval(), tokens, device)
