"""What other programs call our settings: columns of prompt files, samplers. One table for every reader of theirs.

The names are those of AUTOMATIC1111's web UI and its forks, ComfyUI, InvokeAI, diffusers and Fooocus.
"""

from __future__ import annotations

import difflib
import re

from engine.contract.recipe import SAMPLER_NAMES
from engine.contract.request import SAMPLERS

SETTINGS = (
    "prompt",
    "negative",
    "seed",
    "count",
    "steps",
    "guidance",
    "sampler",
    "width",
    "height",
    "size",
    "model",
    "loras",
    "preset",
    "dtype",
    "deterministic",
    "format",
    "name",
)
#: settings that say where files are read or written: a prompt file may not have them
PLACES = ("out", "text_encoder", "vae")
_COLUMNS = {
    "prompt": "positive_prompt positive positiveprompt",
    "negative": "negative_prompt neg_prompt negativeprompt neg",
    "seed": "noise_seed random_seed",
    "count": "batch_count n_iter num_images num_images_per_prompt image_count number_of_images image_number",
    "steps": "num_inference_steps inference_steps num_steps sampling_steps sample_steps",
    "guidance": "guidance_scale cfg_scale cfg cfgscale",
    "sampler": "sampler_name sampling_method sampler_index",
    "width": "image_width",
    "height": "image_height",
    "size": "image_size resolution",
    "model": "model_name checkpoint ckpt ckpt_name sd_model sd_model_name sd_model_checkpoint",
    "loras": "lora lora_name",
    "format": "file_format image_format output_format",
    "out": "outdir out_dir output_dir output_folder output_path outpath save_path",
    "vae": "vae_name sd_vae",
}
ALIASES = {alias: setting for setting, names in _COLUMNS.items() for alias in names.split()}
#: settings of other programs that would change the image and that this one does not have
FOREIGN = frozenset(
    [
        "scheduler",
        "schedule_type",
        "clip_skip",
        "denoising_strength",
        "denoise",
        "strength",
        "eta",
        "subseed",
        "variation_seed",
        "subseed_strength",
        "batch_size",
        "lora_scale",
        "lora_strength",
        "lora_weight",
        "lora_multiplier",
        "hypernetwork",
        "controlnet",
        "style_preset",
        "styles",
        "restore_faces",
        "face_restoration",
        "tiling",
        "enable_hr",
        "hr_scale",
        "hires_fix",
        "init_image",
        "refiner",
    ]
)
#: samplers by the names of ComfyUI, InvokeAI, k-diffusion and diffusers' classes; A1111's are in SAMPLER_NAMES
_SAMPLERS = {
    "dpm++2m": "dpmpp_2m k_dpmpp_2m DPMSolverMultistepScheduler",
    "dpm++2m-karras": "dpmpp_2m_k dpmpp_2m_karras k_dpmpp_2m_ka",
    "dpm++2m-sde": "dpmpp_2m_sde",
    "dpm++3m": "dpmpp_3m",
    "unipc": "uni_pc UniPCMultistepScheduler",
    "euler": "k_euler EulerDiscreteScheduler",
    "euler-a": "euler_ancestral k_euler_a k_euler_ancestral EulerAncestralDiscreteScheduler",
    "heun": "k_heun HeunDiscreteScheduler",
    "ddim": "DDIMScheduler",
    "deis": "DEISMultistepScheduler",
    "lms": "k_lms LMSDiscreteScheduler",
    "pndm": "plms PNDMScheduler",
}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())


_BY_NAME = (
    {_plain(name): ours for ours, names in _SAMPLERS.items() for name in names.split()}
    | {_plain(shown): ours for ours, shown in SAMPLER_NAMES.items()}
    | {_plain(name): name for name in SAMPLERS}
)


def sampler_named(name: str, schedule: str = "") -> str | None:
    """Our sampler that ``name`` stands for in any of these programs; None for one that is not ours.

    ``schedule`` is the noise schedule where it is given apart: "Karras", or one that a sampler takes by itself.
    """
    if _plain(schedule) in ("", "automatic", "normal", "simple"):
        return _BY_NAME.get(_plain(name))
    return _BY_NAME.get(_plain(name) + _plain(schedule))


def setting_of(column: str) -> str | None:
    """The setting, or place, that a column of this name means; None where it is neither ours nor an alias."""
    name = re.sub(r"[\s_-]+", "_", column.strip().lower())
    return name if name in SETTINGS or name in PLACES else ALIASES.get(name)


def nearest_setting(column: str) -> str | None:
    """A setting whose name, or alias, nearly is that of a column that is none; None where nothing is near."""
    name = re.sub(r"[\s_-]+", "_", column.strip().lower())
    near = difflib.get_close_matches(name, [*SETTINGS, *ALIASES], 1, 0.8)
    return ALIASES.get(near[0], near[0]) if near else None


def is_foreign(column: str) -> bool:
    """Whether the column is a setting of other programs that this one does not have."""
    return re.sub(r"[\s_-]+", "_", column.strip().lower()) in FOREIGN
