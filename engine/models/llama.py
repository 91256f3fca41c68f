"""A plain Llama as caption encoder, with the parameter names of ``LlamaForCausalLM`` and ``LlamaModel``.

The same operations in the same order as transformers' class with its usual attention, so the same features bit by bit,
without importing that library's model classes, which takes longer than generating an image. Everything else (other
rotary embeddings, biases, tokenizers with rules in code) goes through transformers: see ``engine.models.text_encoder``.

Architecture: Touvron et al., arXiv 2302.13971; rotary positions: Su et al., arXiv 2104.09864; grouped heads: Ainslie et
al., arXiv 2305.13245.
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
#: entries of tokenizer_config.json that do not affect the ids of a caption, or are implemented here
_SUPPORTED_SETTINGS = {
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
    heads, kv_heads = config["num_attention_heads"], config.get("num_key_value_heads") or config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    theta, eps = _theta(config), config.get("rms_norm_eps", 1e-6)
    return (
        type(kv_heads) is int
        and type(head_dim) is int
        and 0 < kv_heads <= heads
        and heads % kv_heads == 0
        and 0 < head_dim <= 1024
        and head_dim % 2 == 0
        and isinstance(theta, (int, float))
        and theta > 0
        and isinstance(eps, float)
        and 0 < eps < 1
    )


def _theta(config: dict[str, Any]) -> Any:
    return (config.get("rope_parameters") or {}).get("rope_theta") or config.get("rope_theta") or 10000.0


class _RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.to(torch.float32)
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)
        out: Tensor = self.weight * y.to(x.dtype)
        return out


def _apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, kv_heads: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim, self.group_size = head_dim, heads // kv_heads
        self.q_proj = nn.Linear(width, heads * head_dim, bias=False)
        self.k_proj, self.v_proj = (nn.Linear(width, kv_heads * head_dim, bias=False) for _ in range(2))
        self.o_proj = nn.Linear(heads * head_dim, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (
            torch.unflatten(layer(x), -1, (-1, self.head_dim)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = _apply_rotary(q, cos, sin), _apply_rotary(k, cos, sin)
        if self.group_size > 1:
            k, v = (t.repeat_interleave(self.group_size, 1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and x.shape[1] > 1)
        out: Tensor = self.o_proj(y.transpose(1, 2).flatten(2))
        return out


class _MLP(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class _Int8Linear(nn.Module):
    """A matrix in 8 bits, one scale per row (symmetric, rounded to nearest).

    Products are computed in the input's dtype.
    """

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
        self.mlp = _MLP(width, config["intermediate_size"])
        self.input_layernorm, self.post_attention_layernorm = _RMSNorm(width, eps), _RMSNorm(width, eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Llama(nn.Module):
    """Token ids to hidden states after the final norm."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.embed_tokens = nn.Embedding(config["vocab_size"], width)
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config["num_hidden_layers"])])
        self.norm = _RMSNorm(width, config.get("rms_norm_eps", 1e-6))
        self._head_dim = config.get("head_dim") or width // config["num_attention_heads"]
        self._theta = float(_theta(config))

    def forward(self, ids: Tensor, masked: bool = False) -> Tensor:
        """``ids [n, tokens]`` -> ``[n, tokens, width]``.

        With ``masked`` no token sees another, as where a caption is all padding.
        """
        x = self.embed_tokens(ids)
        count = ids.shape[1]
        frequencies = 1.0 / self._theta ** (torch.arange(0, self._head_dim, 2, dtype=torch.float) / self._head_dim)
        angles = torch.arange(count)[:, None].float() * frequencies
        angles = torch.cat((angles, angles), -1).to(x.device)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        mask = torch.zeros(1, 1, count, count, dtype=torch.bool, device=x.device) if masked else None
        for layer in self.layers:
            x = layer(x, cos, sin, mask)
        out: Tensor = self.norm(x)
        return out


class _FileTokenizer:
    """A tokenizer.json that needs no rules in code; see ``open_tokenizer``."""

    def __init__(self, file: Path, settings: dict[str, Any], max_tokens: int) -> None:
        from tokenizers import Tokenizer

        self._full, self._truncating = Tokenizer.from_file(str(file)), Tokenizer.from_file(str(file))
        for tokenizer in (self._full, self._truncating):
            tokenizer.no_padding()
        self._full.no_truncation()
        side = "left" if settings.get("truncation_side") == "left" else "right"
        self._truncating.enable_truncation(max_tokens, direction=side)
        self.count, self.pad = self._full.get_vocab_size(), None
        special = {t.content for t in self._full.get_added_tokens_decoder().values() if t.special}
        for key in ("bos_token", "eos_token", "unk_token", "pad_token"):
            token = settings.get(key)
            token = token.get("content") if isinstance(token, dict) else token
            if token is not None and token not in special:  # transformers would add it, and split captions at it
                raise ValueError(key)
            if key == "pad_token" and token is not None:
                self.pad = self._full.token_to_id(token)

    def ids(self, text: str) -> tuple[list[int], bool]:
        """(ids, whether the caption was cut)."""
        ids = self._truncating.encode(text).ids
        return ids, len(self._full.encode(text).ids) > len(ids)


def open_tokenizer(folder: ModelFolder) -> _FileTokenizer | None:
    """The tokenizer, if its file alone defines it; None if transformers has to read it."""
    file, config = folder.tokenizer / "tokenizer.json", folder.tokenizer / "tokenizer_config.json"
    try:
        settings = read_config(config)
        if (
            settings.get("tokenizer_class") not in ("PreTrainedTokenizerFast", "TokenizersBackend")
            or settings.keys() - _SUPPORTED_SETTINGS
            or not file.is_file()
        ):
            return None
        if any((folder.tokenizer / name).exists() for name in ("added_tokens.json", "special_tokens_map.json")):
            return None
        return _FileTokenizer(file, settings, folder.max_tokens)
    except Exception:  # the library raises plain Exception; transformers reports what is wrong
        return None


class LlamaEncoder:
    """``engine.models.text_encoder.CaptionEncoder`` for plain Llamas; the same features."""

    def __init__(
        self,
        folder: ModelFolder,
        model: Llama,
        tokenizer: _FileTokenizer | _TransformersTokenizer,
        device: torch.device,
    ) -> None:
        self.device, self.max_tokens = device, folder.max_tokens
        self._folder, self._model, self._tokenizer = folder, model, tokenizer

    @torch.inference_mode()
    def encode(self, text: str) -> Feature:
        """See ``CaptionEncoder.encode``. Safe from several threads."""
        ids, cut = self._tokenizer.ids(text)
        empty = not ids
        if empty:
            ids = [self._tokenizer.pad or 0] * self.max_tokens
        states = self._model(torch.tensor([ids], device=self.device), empty)[0]
        if not bool(torch.isfinite(states).all()):
            raise BrokenWeights(path=self._folder.text_encoder, why=Phrase("its features are not finite"))
        return Feature(states.cpu().contiguous(), cut)


class _TransformersTokenizer:
    """A tokenizer whose rules are in transformers' code."""

    def __init__(self, folder: ModelFolder) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(
            folder.tokenizer, local_files_only=True, trust_remote_code=False
        )
        self._max_tokens, self._lock = folder.max_tokens, threading.Lock()
        self.count, self.pad = len(self._tokenizer), self._tokenizer.pad_token_id

    def ids(self, text: str) -> tuple[list[int], bool]:
        """(ids, whether the caption was cut)."""
        with self._lock:  # its options change its state while it works
            ids = list(self._tokenizer(text, truncation=True, max_length=self._max_tokens)["input_ids"])
            full = len(ids) == self._max_tokens
            return ids, full and len(self._tokenizer(text, verbose=False)["input_ids"]) > self._max_tokens


def _parameter_name(name: str) -> str | None:
    return None if name == "lm_head.weight" or name.endswith("rotary_emb.inv_freq") else name.removeprefix("model.")


def open_llama(
    folder: ModelFolder, *, device: torch.device, dtype: torch.dtype, small: bool = False
) -> LlamaEncoder | None:
    """The encoder, if model and tokenizer are plain and fit each other; None leaves them, and their errors, to
    ``CaptionEncoder``.

    Args:
        folder: the model.
        device: where the encoder runs.
        dtype: of its weights and features.
        small: matrices in 8 bits, quantized layer by layer while they are read, so that the model is never in memory in
            16 bits; with any tokenizer.

    Raises:
        BrokenWeights: a file's header cannot be read.
    """
    config = folder.text_config
    if (
        folder.pixart_text
        or not is_plain_llama(config)
        or folder.denoiser_config.get("caption_channels", config["hidden_size"]) != config["hidden_size"]
    ):
        return None
    tokenizer: _FileTokenizer | _TransformersTokenizer | None = open_tokenizer(folder)
    if tokenizer is None and small:
        try:
            tokenizer = _TransformersTokenizer(folder)
        except Exception:  # transformers raises many types; ``CaptionEncoder`` reports what is wrong
            return None
    if tokenizer is None or tokenizer.pad is None or tokenizer.count > config["vocab_size"]:
        return None
    with without_init():
        model = Llama(config)
    locations = locate_weights_if_they_fit(model, weight_files(folder.text_encoder), _parameter_name)
    if locations is None:
        return None
    if small:
        for n, layer in enumerate(model.layers):
            prefix = f"layers.{n}."
            own = {k.removeprefix(prefix): v for k, v in locations.items() if k.startswith(prefix)}
            load_weights(layer, own, device, dtype)
            for linear_name, linear in list(layer.named_modules()):
                if isinstance(linear, nn.Linear):
                    layer.set_submodule(linear_name, _Int8Linear(linear.weight))
        locations = {k: v for k, v in locations.items() if not k.startswith("layers.")}
    load_weights(model, locations, device, dtype)
    return LlamaEncoder(folder, model.eval(), tokenizer, device)
