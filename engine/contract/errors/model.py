"""Models, their files and LoRAs."""

from __future__ import annotations

from engine.contract.errors.base import ModelError, UsageError


class UnknownModel(UsageError):
    kind = "unknown-model"
    message = "There is no model {name!r}"
    hint = "Give a folder, or one of: {known}. `commonart models list` shows where they lie."


class NotAModel(UsageError):
    kind = "not-a-model"
    message = "{path} is not a model folder: {why}"
    hint = "Point at a diffusers pipeline folder (model_index.json) or a PixArt denoiser (config.json and safetensors)."


class MissingPart(UsageError):
    kind = "missing-part"
    message = "{path} has no {part}"
    hint = "Give its folder once with {option}; it is remembered for this model."


class BrokenWeights(ModelError):
    kind = "broken-weights"
    message = "{path} is damaged: {why}"
    hint = "Fetch or copy that file again; `commonart models verify` checks a whole model."


class WrongShape(ModelError):
    kind = "wrong-shape"
    message = "{path} does not fit its config.json: {tensor} is {found}, expected {expected}"
    hint = "The config and the weights come from different models; fetch both from one place."


class WrongTokenizer(ModelError):
    kind = "wrong-tokenizer"
    message = "The tokenizer in {path} does not fit the text encoder: {why}"
    hint = "Use the tokenizer that came with the text encoder."


class UnknownLora(UsageError):
    kind = "unknown-lora"
    message = "There is no LoRA {name!r}"
    hint = "Give a .safetensors file, or the name of one in {folder}: {known}."


class LoraForOther(ModelError):
    kind = "lora-for-other"
    message = "The LoRA {path} does not fit this model: {why}"
    hint = "It was made for another base model; choose that one, or another LoRA."


class NeedsConversion(ModelError):
    kind = "needs-conversion"
    message = "{path} holds pickled weights ({names}), which this program never loads"
    hint = "Turn them into safetensors first: commonart models convert {path}"


class PickleRefused(ModelError):
    kind = "pickle-refused"
    message = "{path} asks for {what}, which no weights file needs; it was refused and nothing in it was run"
    hint = "Do not trust this file. Get the model from its author as safetensors."


class NoNetwork(ModelError):
    kind = "no-network"
    message = "{endpoint} cannot be reached: {why}"
    hint = "Check the connection, or give a proxy or another address. A model can also be copied here as a folder."


class NotOnHub(UsageError):
    kind = "not-on-hub"
    message = "{endpoint} has no {what} that may be fetched"
    hint = "Check the spelling. A model that asks for consent is fetched after `hf auth login`."


class BrokenDownload(ModelError):
    kind = "broken-download"
    message = "{file} did not come from {endpoint} as it should: {why}"
    hint = "It was not kept. Try again; if it happens again, do not trust that source."


class NotSafetensors(BrokenWeights):
    kind = "not-safetensors"
    message = "{path} is not a safetensors file: {why}"
    hint = "{remedy}"


class AmbiguousLora(UsageError):
    kind = "ambiguous-lora"
    message = "{count} LoRAs are called {name!r}"
    hint = "Give the one that is meant: {known}."


class UnsupportedAdapter(ModelError):
    kind = "unsupported-adapter"
    message = "The adapter {path} cannot be used: {why}"
    hint = "What can be used are safetensors files of LoRA, LoHa, LoKr and DoRA for PixArt transformers."
