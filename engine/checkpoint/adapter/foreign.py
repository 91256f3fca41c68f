"""Names what an unusable adapter is: made for another base model, of another kind, or for another part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.checkpoint.weights import TensorEntry
from engine.contract.errors import LoraForOther, ModelError, Phrase, UnsupportedAdapter

#: of names with every dot as an underscore; the first that fits is told
_BASES = (
    (r"(?:^|_)(?:down_blocks|up_blocks|mid_block|input_blocks|output_blocks|middle_block)_", "Stable Diffusion"),
    (r"(?:^|_)(?:single_transformer_blocks|double_blocks|single_blocks)_\d", "FLUX"),
    (r"(?:^|_)transformer_blocks_\d+_(?:img_mlp|txt_mlp|img_mod)", "Qwen-Image"),
    (r"(?:^|_)joint_(?:transformer_)?blocks_\d|(?:^|_)transformer_blocks_\d+_attn_", "Stable Diffusion 3"),
    (r"(?:^|_)blocks_\d+_(?:self_attn|cross_attn)_[qkvo](?:_|$)", "Wan"),
)
_OWN_NAMES = re.compile(
    r"(?:^|_)blocks_\d+_(?:attn_qkv|attn_proj|cross_attn_(?:q_linear|kv_linear|proj)|mlp_fc[12])(?:_|$)"
)
_TEXT_ENCODER = re.compile(
    r"^(?:lora_te\d?_|te\d?[._]|text_encoders?(?:_\d)?[._]|(?:lycoris|lora)_text_|cond_stage_model\.|conditioner\.|text_model\."
    r"|t5\w*\.|encoder\.block\.)|(?:^|[._])text_model[._]encoder[._]"
)
_LANGUAGE_MODEL = re.compile(r"(?:^|_)layers_\d+_(?:self_attn_[qkvo]_proj|mlp_(?:gate|up|down)_proj)(?:_|$)")
#: parts of names -> the kind's name
_KINDS = (
    (r"control(?:net|_model)|input_hint_block|zero_conv", "ControlNet"),
    (r"ip_adapter|image_proj", "IP-Adapter"),
    (r"\bia3_|\.on_input$", "IA3"),
    (r"\.oft_blocks$|\.rescale$", "OFT or BOFT"),
    (r"\bboft_", "BOFT"),
    (r"\boft_", "OFT"),
    (r"\bglora_|\.[ab][12]\.weight$|\.bm\.weight$", "GLoRA"),
    (r"\.lambda_layer$|\.[qp]_layer\.weight$", "T-LoRA"),
    (r"\.lora_E\b|\.ranknum\b", "AdaLoRA"),
    (r"\.lora_(?:bias|[AB](?:\.\w+)?\.bias)\b", "LoRA with biases (lora_bias)"),
    (r"\blora_embedding_", "LoRA of an embedding"),
    (r"\bp?vera_lambda_", "VeRA"),
    (r"\brandlora_", "RandLoRA"),
    (r"\bvblora_", "VB-LoRA"),
    (r"\bhra_", "HRA"),
    (r"\bdelora_", "DeLoRA"),
    (
        r"\b(?:fourierft|waveft|c3a|miss|bone|road|shira|poly|hira|gralora|tinylora|unilora|psoft|osf|lily|deft)_",
        "PEFT",
    ),
    (r"\.diff(?:_b|_m)?$|\.set_weight$", "LyCORIS full"),
    (r"\.[wb]_norm$", "LyCORIS norm"),
    (r"^emb_params$|^<|^string_to_param|^clip_[gl]$", "Textual Inversion"),
)


def name_base(path: Path, table: Mapping[str, TensorEntry], words: Mapping[str, str]) -> LoraForOther | None:
    """The error where the names show another base model than a PixArt transformer."""
    plain = {name: name.replace(".", "_") for name in table}
    for pattern, base in _BASES:
        hits = [name for name, flat in plain.items() if re.search(pattern, flat) and not _TEXT_ENCODER.search(name)]
        if hits:
            if base == "Stable Diffusion":
                base = _stable_diffusion(table, words)
            return LoraForOther(path=path, why=Phrase("it was made for {base}", base=base))
    if any(_LANGUAGE_MODEL.search(flat) and not _TEXT_ENCODER.search(name) for name, flat in plain.items()):
        return LoraForOther(path=path, why=Phrase("it was made for a language model"))
    if any(_OWN_NAMES.search(flat) for flat in plain.values()):
        return LoraForOther(
            path=path,
            why=Phrase(
                "its layers have the names of PixArt's first code, and not those of diffusers, which are read here"
            ),
        )
    return None


def _stable_diffusion(table: Mapping[str, TensorEntry], words: Mapping[str, str]) -> str:
    """Which, by what the file says of itself or the width of the captions that its layers read."""
    said = " ".join(
        words.get(k, "") for k in ("ss_base_model_version", "modelspec.architecture", "modelspec.title")
    ).lower()
    if "xl" in said:
        return "SDXL"
    widths = {
        entry.shape[1]
        for name, entry in table.items()
        if re.search(r"attn2[._]to_[kv][._].*(?:lora_down|lora_A|lora\.down)", name) and len(entry.shape) > 1
    }
    if 2048 in widths or any(name.startswith(("lora_te2_", "text_encoder_2.")) for name in table):
        return "SDXL"
    return "Stable Diffusion 1" if 768 in widths else "Stable Diffusion 2" if 1024 in widths else "Stable Diffusion"


def name_kind(path: Path, names: Iterable[str]) -> ModelError | None:
    """The error where tensors belong to a kind of adapter that is not read, or to the text encoder."""
    for name in names:
        for pattern, kind in _KINDS:
            if re.search(pattern, name):
                return UnsupportedAdapter(path=path, why=Phrase("it is an adapter of the kind {kind}", kind=kind))
    return None


def name_text_encoder(path: Path, names: Iterable[str]) -> ModelError | None:
    """The error where an adapter changes the text encoder, alone or beside the transformer."""
    names = list(names)
    found = [name for name in names if _TEXT_ENCODER.search(name)]
    if not found:
        return None
    if len(found) == len(names):
        return UnsupportedAdapter(
            path=path,
            why=Phrase(
                "it changes only a text encoder ({name}), and text encoders are used as they are", name=found[0]
            ),
        )
    return UnsupportedAdapter(
        path=path,
        why=Phrase(
            "it changes the text encoder too ({name} and {count} more tensors); without that part its images would "
            "not be those it was trained for. Save it again without its text encoder part",
            name=found[0],
            count=len(found) - 1,
        ),
    )
