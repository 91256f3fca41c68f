"""The layers of a PixArt transformer that an adapter may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.contract.errors import BrokenWeights, Phrase


def layers_of(config: dict[str, Any], path: Path = Path("config.json")) -> dict[str, tuple[int, ...]]:
    """Weight shapes of every layer of a PixArt transformer that an adapter may change, by diffusers' names.

    ``[out, in]`` of linear layers, ``[out, in, height, width]`` of the patch embedding's convolution.

    Raises:
        BrokenWeights: a number of the config (``path``) is none, or beyond any model.
    """

    def whole(name: str, usual: int) -> int:
        number = config.get(name)
        if number is None:
            return usual
        if type(number) is not int or not 1 <= number <= 100_000:
            raise BrokenWeights(path=path, why=Phrase("its part {part} makes no sense", part=name))
        return number

    width = whole("num_attention_heads", 16) * whole("attention_head_dim", 72)
    caption, patch = whole("caption_channels", 4096), whole("patch_size", 2)
    found: dict[str, tuple[int, ...]] = {
        "pos_embed.proj": (width, whole("in_channels", 4), patch, patch),
        "adaln_single.emb.timestep_embedder.linear_1": (width, 256),
        "adaln_single.emb.timestep_embedder.linear_2": (width, width),
        "adaln_single.linear": (6 * width, width),
        "caption_projection.linear_1": (width, caption),
        "caption_projection.linear_2": (width, width),
        "proj_out": (patch**2 * whole("out_channels", 8), width),
    }
    if config.get("use_additional_conditions"):
        for part in ("resolution_embedder", "aspect_ratio_embedder"):
            found[f"adaln_single.emb.{part}.linear_1"] = (width // 3, 256)
            found[f"adaln_single.emb.{part}.linear_2"] = (width // 3, width // 3)
    for n in range(min(whole("num_layers", 28), 1000)):
        block = f"transformer_blocks.{n}"
        for part in ("attn1", "attn2"):
            found |= {f"{block}.{part}.{leaf}": (width, width) for leaf in ("to_q", "to_k", "to_v", "to_out.0")}
        found |= {f"{block}.ff.net.0.proj": (4 * width, width), f"{block}.ff.net.2": (width, 4 * width)}
    return found
