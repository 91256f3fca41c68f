"""Inputs and outputs of each part, as optimum's exporter configs, registered with its task manager.

Names are those that optimum's ONNX Runtime classes look for (``ORTTransformer``, ``ORTTextEncoder``, ``ORTVaeDecoder``,
``ORTVaeEncoder``). Timesteps stay float32 whatever the part's dtype: float16 rounds those of LMS.
"""

from __future__ import annotations

from typing import Any

from optimum.exporters.base import ExporterConfig
from optimum.exporters.tasks import TasksManager
from optimum.utils.input_generators import (
    DEFAULT_DUMMY_SHAPES,
    DummyInputGenerator,
    DummyTextInputGenerator,
    DummyTransformerVisionInputGenerator,
    DummyVisionInputGenerator,
)
from optimum.utils.normalized_config import NormalizedConfig, NormalizedTextConfig

register = TasksManager.create_register("onnx")


class NormalizedPixArtConfig(NormalizedConfig):
    """A PixArt transformer's config under optimum's names."""

    NUM_CHANNELS = "in_channels"
    HIDDEN_SIZE = "caption_channels"
    PATCH_SIZE = "patch_size"
    WITH_SIZE = "use_additional_conditions"


class NormalizedLatentConfig(NormalizedConfig):
    """An autoencoder's config for its decoder."""

    NUM_CHANNELS = "latent_channels"


class NormalizedPixelConfig(NormalizedConfig):
    """An autoencoder's config for its encoder."""

    NUM_CHANNELS = "in_channels"


class DummyCaptionInputGenerator(DummyInputGenerator):
    """Padded captions of different lengths, a timestep for each row, and sizes for PixArt-α at 1024."""

    SUPPORTED_INPUT_NAMES = (
        "encoder_hidden_states",
        "encoder_attention_mask",
        "timestep",
        "resolution",
        "aspect_ratio",
    )

    def __init__(
        self,
        task: str,
        normalized_config: Any,
        batch_size: int = DEFAULT_DUMMY_SHAPES["batch_size"],
        sequence_length: int = DEFAULT_DUMMY_SHAPES["sequence_length"],
        height: int = DEFAULT_DUMMY_SHAPES["height"],
        width: int = DEFAULT_DUMMY_SHAPES["width"],
        **_: Any,
    ) -> None:
        self.task, self.batch, self.length = task, batch_size, sequence_length
        self.channels, self.height, self.width = normalized_config.hidden_size, height, width

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Any:
        """Tensors ``[batch, length, channels]``, ``[batch, length]`` of 1 and 0, ``[batch]``, ``[batch, 2]``, ``[batch,
        1]``.
        """
        if input_name == "encoder_hidden_states":
            return self.random_float_tensor(
                [self.batch, self.length, self.channels], -2, 2, framework=framework, dtype=float_dtype
            )
        if input_name == "encoder_attention_mask":
            mask = self.random_int_tensor([self.batch, self.length], 2, 1, framework=framework, dtype=int_dtype)
            for row in range(1, self.batch):  # the first is full, each of the others is shorter
                mask[row, max(1, self.length * (self.batch - row) // self.batch) :] = 0
            return mask
        if input_name == "timestep":
            return self.random_float_tensor([self.batch], 0, 999, framework=framework, dtype="fp32")
        if input_name == "resolution":  # pixels
            return self.random_float_tensor([self.batch, 2], 64, 1024, framework=framework, dtype="fp32")
        return self.random_float_tensor([self.batch, 1], 0.5, 2, framework=framework, dtype="fp32")


@register("pixart-transformer-2d", "semantic-segmentation", library_name="diffusers")
class PixArtTransformerExporterConfig(ExporterConfig):
    """The denoiser. The output has all ``out_channels``: pipelines drop the learned variance themselves."""

    NORMALIZED_CONFIG_CLASS = NormalizedPixArtConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyTransformerVisionInputGenerator, DummyCaptionInputGenerator)

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        named = {
            "hidden_states": {0: "batch", 2: "height", 3: "width"},
            "encoder_hidden_states": {0: "batch", 1: "tokens"},
            "encoder_attention_mask": {0: "batch", 1: "tokens"},
            "timestep": {0: "batch"},
        }
        return named | (
            {"resolution": {0: "batch"}, "aspect_ratio": {0: "batch"}} if self._normalized_config.with_size else {}
        )

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {"out_hidden_states": {0: "batch", 2: "height", 3: "width"}}


@register("t5-encoder", "feature-extraction", library_name="diffusers")
@register("umt5-encoder", "feature-extraction", library_name="diffusers")
@register("causal-lm-encoder", "feature-extraction", library_name="diffusers")
class TextEncoderExporterConfig(ExporterConfig):
    """A T5 encoder or a decoder language model with its last hidden states as output; no cache, no head."""

    NORMALIZED_CONFIG_CLASS = NormalizedTextConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyTextInputGenerator,)

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return {"input_ids": {0: "batch", 1: "tokens"}, "attention_mask": {0: "batch", 1: "tokens"}}

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {"last_hidden_state": {0: "batch", 1: "tokens"}}


@register("vae-decoder", "semantic-segmentation", library_name="diffusers")
class VaeDecoderExporterConfig(ExporterConfig):
    """Latents, already divided by the scaling factor, to images in -1 to 1."""

    NORMALIZED_CONFIG_CLASS = NormalizedLatentConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyVisionInputGenerator,)

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return {"latent_sample": {0: "batch", 2: "height", 3: "width"}}

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {"sample": {0: "batch", 2: "height", 3: "width"}}


@register("vae-encoder", "semantic-segmentation", library_name="diffusers")
class VaeEncoderExporterConfig(ExporterConfig):
    """Images in -1 to 1 to mean and log variance, concatenated along the channels."""

    NORMALIZED_CONFIG_CLASS = NormalizedPixelConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyVisionInputGenerator,)

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return {"sample": {0: "batch", 2: "height", 3: "width"}}

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {"latent_parameters": {0: "batch", 2: "height", 3: "width"}}


def exporter_config(part: str, config: Any, dtype: str) -> ExporterConfig:
    """The exporter config of one of ``layout.PARTS``.

    ``config`` is the part's own (attributes, not a dictionary), ``dtype`` is fp32 or fp16.
    """
    if part == "text_encoder":
        t5 = getattr(config, "model_type", "")
        kind, task = (f"{t5}-encoder" if t5 in ("t5", "umt5") else "causal-lm-encoder"), "feature-extraction"
    else:
        kind, task = {"transformer": "pixart-transformer-2d"}.get(part, part.replace("_", "-")), "semantic-segmentation"
    build = TasksManager.get_exporter_config_constructor("onnx", model_type=kind, task=task, library_name="diffusers")
    return build(config, float_dtype=dtype)
