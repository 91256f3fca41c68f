"""Random models at CommonArt β's true widths with its depth cut, for benchmarks: real shapes in a fraction of the time
and the space.
"""

from __future__ import annotations

from pathlib import Path

from engine.checkpoint.layout import ModelFolder, identify
from tests.support.tiny_models import make_denoiser, make_tokenizer


def make_wide(folder: Path, *, layers: int = 2, size: int = 512, slim: bool = False) -> ModelFolder:
    """A denoiser of width 1152 (``layers`` of 28), a Llama of width 4096 (1 layer of 32, few words), and the VAE of
    SDXL's shape.

    Weights are random from fixed seeds and lie in 16 bits where the real ones do: the language model in bf16, the
        others in fp32. ``slim``:
    a VAE with an eighth of the channels, since the real one would take most of the time beside so few layers.
    """
    if not (folder / "done").exists():
        import torch
        from diffusers import AutoencoderKL
        from transformers import LlamaConfig, LlamaForCausalLM

        make_denoiser(
            folder / "denoiser",
            num_attention_heads=16,
            attention_head_dim=72,
            cross_attention_dim=1152,
            caption_channels=4096,
            num_layers=layers,
            sample_size=size // 8,
        )
        torch.manual_seed(1)
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=512,
                hidden_size=4096,
                intermediate_size=11008,
                num_hidden_layers=1,
                num_attention_heads=32,
                num_key_value_heads=32,
                max_position_embeddings=4096,
            )
        ).to(torch.bfloat16).save_pretrained(folder / "llm")
        make_tokenizer(folder / "llm", max_length=512)
        torch.manual_seed(2)
        AutoencoderKL(
            block_out_channels=(16, 32, 64, 64) if slim else (128, 256, 512, 512),
            norm_num_groups=16 if slim else 32,
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
            scaling_factor=0.13025,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        ).save_pretrained(folder / "vae")
        (folder / "done").touch()
    return identify(folder / "denoiser", text_encoder=folder / "llm", vae=folder / "vae", name=f"wide-{layers}-layers")
