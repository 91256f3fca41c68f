"""Tiny random models in the exact layouts of the real ones.

Run as a program to make one: ``python -m tests.support.tiny_models DIR``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WORDS = [
    "すし",
    "寿司",
    "りんご",
    "青い",
    "背景",
    "の",
    "a",
    "red",
    "apple",
    "sushi",
    "cat",
    "ねこ",
    "on",
    "blue",
    "background",
    ",",
    "、",
]


def make_tokenizer(folder: Path, *, bos: bool = True, eos: bool = False, max_length: int = 64) -> None:
    """A small byte-level BPE; ``bos`` as Llama, ``eos`` as T5, neither as calm2's GPT-NeoX tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(
        [" ".join(WORDS)] * 4,
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=["<s>", "</s>", "<pad>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    single = f"{'<s> ' if bos else ''}$A{' </s>' if eos else ''}"
    t.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", 0), ("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=t,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        padding_side="right",
        model_max_length=max_length,
    ).save_pretrained(folder)


def make_llama(folder: Path, *, bos: bool = True, hidden: int = 32) -> None:
    """A decoder language model with its tokenizer beside it, as calm2-7b lies on a disk."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=512,
            hidden_size=hidden,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=512,
        )
    ).save_pretrained(folder)
    make_tokenizer(folder, bos=bos)


def make_t5(folder: Path, tokenizer: Path, *, hidden: int = 32) -> None:
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(1)
    T5EncoderModel(
        T5Config(vocab_size=512, d_model=hidden, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    ).save_pretrained(folder)
    make_tokenizer(tokenizer, bos=False, eos=True, max_length=512)


def make_vae(folder: Path) -> None:
    """Pixels to a quarter of the side, 4 channels."""
    import torch
    from diffusers import AutoencoderKL

    torch.manual_seed(2)
    AutoencoderKL(
        block_out_channels=(8, 8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        latent_channels=4,
        sample_size=32,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        scaling_factor=0.7,
    ).save_pretrained(folder)


def denoiser_config(**changes: Any) -> dict[str, Any]:
    return {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 8,
        "num_layers": 2,
        "cross_attention_dim": 32,
        "sample_size": 8,
        "patch_size": 2,
        "caption_channels": 32,
        "interpolation_scale": 1,
        "use_additional_conditions": False,
        **changes,
    }


def make_denoiser(folder: Path, *, legacy: bool = False, seed: int = 3, **changes: Any) -> None:
    """The transformer; ``legacy`` writes CommonArt β's old class name and its extra entries."""
    import torch
    from diffusers import PixArtTransformer2DModel

    torch.manual_seed(seed)
    model = PixArtTransformer2DModel(**denoiser_config(**changes))
    for name, p in model.named_parameters():  # a fresh model predicts almost nothing: give it something to say
        if "proj_out" in name or "to_out" in name:
            torch.nn.init.normal_(p, std=0.2)
    model.save_pretrained(folder)
    if legacy:
        file = folder / "config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        config |= {
            "_class_name": "Transformer2DModel",
            "_diffusers_version": "0.30.0.dev0",
            "double_self_attention": False,
            "only_cross_attention": False,
            "use_linear_projection": False,
            "num_vector_embeds": None,
        }
        file.write_text(json.dumps(config), encoding="utf-8")


def make_pipeline(folder: Path, kind: str = "llama", **changes: Any) -> Path:
    """A diffusers pipeline folder: ``llama`` (CommonArt-like), ``sigma`` or ``alpha`` (T5)."""
    from diffusers import DPMSolverMultistepScheduler

    if kind == "llama":
        make_llama(folder / "text_encoder")
        for file in (folder / "text_encoder").glob("tokenizer*"):
            (folder / "tokenizer").mkdir(exist_ok=True)
            file.rename(folder / "tokenizer" / file.name)
    else:
        make_t5(folder / "text_encoder", folder / "tokenizer")
    if kind == "alpha":
        changes = {"use_additional_conditions": True, "attention_head_dim": 24, "cross_attention_dim": 48, **changes}
    make_denoiser(folder / "transformer", **changes)
    make_vae(folder / "vae")
    DPMSolverMultistepScheduler().save_pretrained(folder / "scheduler")
    name = "PixArtAlphaPipeline" if kind == "alpha" else "PixArtSigmaPipeline"
    encoder = ["transformers", "LlamaForCausalLM" if kind == "llama" else "T5EncoderModel"]
    (folder / "model_index.json").write_text(
        json.dumps(
            {
                "_class_name": name,
                "_diffusers_version": "0.42.1",
                "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
                "text_encoder": encoder,
                "tokenizer": ["transformers", "PreTrainedTokenizerFast" if kind == "llama" else "T5TokenizerFast"],
                "transformer": ["diffusers", "PixArtTransformer2DModel"],
                "vae": ["diffusers", "AutoencoderKL"],
            }
        ),
        encoding="utf-8",
    )
    return folder


def make_commonart(folder: Path) -> tuple[Path, Path, Path]:
    """CommonArt β's layout: (bare denoiser root, language model without bos, VAE), three folders."""
    make_denoiser(folder / "commonart-beta", legacy=True)
    make_llama(folder / "calm2", bos=False)
    make_vae(folder / "sdxl-vae")
    return folder / "commonart-beta", folder / "calm2", folder / "sdxl-vae"


def make_lora(
    file: Path,
    layers: dict[str, tuple[int, ...]],
    *,
    rank: int = 4,
    alpha: float | None = None,
    style: str = "diffusers",
    seed: int = 5,
    size: float = 0.2,
    told: dict[str, str] | None = None,
) -> Path:
    """A LoRA with random numbers for the given layers; ``style`` is that of diffusers, PEFT or kohya."""
    import torch
    from safetensors.torch import save_file

    noise = torch.Generator().manual_seed(seed)
    tensors = {}
    header = {"format": "pt"} | {f"commonart.{k}": v for k, v in (told or {}).items()}
    for name, (out, into) in layers.items():
        down, up = (torch.randn(shape, generator=noise) * size for shape in ((rank, into), (out, rank)))
        stem = {
            "diffusers": f"transformer.{name}",
            "peft": f"base_model.model.{name}",
            "kohya": "lora_transformer_" + name.replace(".", "_"),
        }[style]
        a, b = ("lora_down", "lora_up") if style == "kohya" else ("lora_A", "lora_B")
        tensors |= {f"{stem}.{a}.weight": down, f"{stem}.{b}.weight": up}
        if alpha is not None and style == "kohya":
            tensors[f"{stem}.alpha"] = torch.tensor(alpha)
    if alpha is not None and style != "kohya":
        header["lora_adapter_metadata"] = json.dumps({"transformer.r": rank, "transformer.lora_alpha": alpha})
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file, header)
    return file


if __name__ == "__main__":
    print(make_pipeline(Path(sys.argv[1]), *sys.argv[2:3]))
