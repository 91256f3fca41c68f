"""What other programs wrote into an image about how it was made.

AUTOMATIC1111 and its forks, ComfyUI, InvokeAI, SwarmUI, Fooocus.

Only what is clear is read: a workflow with two samplers, or with a prompt that is put together from parts, gives
    nothing.
Nothing that is read is trusted: it is data to be shown, or to be checked as any setting.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.contract.other_tools import setting_of

#: which text names which program; A1111's is also written by many others
TOOLS = (
    ("commonart", ("commonart",)),
    ("InvokeAI", ("invokeai_metadata", "invokeai_graph", "sd-metadata", "Dream")),
    ("ComfyUI", ("workflow", "prompt")),
    ("A1111", ("parameters",)),
)
_PAIR = re.compile(r'\s*([A-Za-z][\w \-/]*): ("(?:\\.|[^"\\])*"|[^,\n]*)(?:,|$)')
_LORA = re.compile(r"<(?:lora|lyco):([^:<>]+)(?::([-+]?[0-9]*\.?[0-9]+))?[^<>]*>")
_DREAM = {"-s": "steps", "-S": "seed", "-W": "width", "-H": "height", "-C": "guidance", "-A": "sampler"}
_NUMBERS = ("seed", "steps", "guidance", "width", "height")


@dataclass(frozen=True)
class ImageParameters:
    """How an image was made, as the program ``tool`` says it.

    ``settings`` are by our names (seed, steps, guidance, width, height as numbers; sampler and model as they were
    written, and schedule where a noise schedule is given apart); ``loras`` are (name, scale) pairs.
    """

    tool: str
    prompt: str
    negative: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    loras: tuple[tuple[str, float], ...] = ()


def read_parameters(texts: Mapping[str, str]) -> ImageParameters | None:
    """The parameters in the texts of an image, by their keys in a PNG; None where nothing is there or clear."""
    readers = (
        ("invokeai_metadata", "InvokeAI", _invoke),
        ("sd-metadata", "InvokeAI", _sd_metadata),
        ("Dream", "InvokeAI", _dream),
        ("parameters", "A1111", _parameters),
        ("prompt", "ComfyUI", _comfy),
    )
    for key, tool, read in readers:
        text = texts.get(key, "")
        try:
            found = read(text, tool) if text else None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            continue  # another way of writing than the one known
        if found is not None:
            return found
    return None


def _number(name: str, value: Any) -> int | float | None:
    try:
        made = float(value) if name == "guidance" else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return made if isinstance(made, int) or (made == made and abs(made) < 1e6) else None


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by our names, of the right types; what is not, is left out."""
    made: dict[str, Any] = {}
    for name, value in given.items():
        if name in _NUMBERS and not isinstance(value, bool):
            number = _number(name, value)
            if number is not None:
                made[name] = number
        elif name in ("sampler", "model", "schedule") and isinstance(value, str) and value:
            made[name] = value
    return made


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _parameters(text: str, tool: str) -> ImageParameters | None:
    if text.lstrip().startswith("{"):
        return _flat_json(text)
    body, found, tail = ("\n" + text).rpartition("\nSteps: ")
    if not found:
        return None
    prompt, _, negative = body.removeprefix("\n").partition("\nNegative prompt:")
    if body.startswith("\nNegative prompt:"):
        prompt, negative = "", body.removeprefix("\nNegative prompt:")
    pairs = {k: _unquoted(v) for k, v in _PAIR.findall("Steps: " + tail.partition("\n")[0])}
    size = re.fullmatch(r"(\d{1,6})x(\d{1,6})", pairs.get("Size", ""))
    names = {"Steps": "steps", "CFG scale": "guidance", "Seed": "seed", "Sampler": "sampler", "Model": "model"}
    given = {ours: pairs[theirs] for theirs, ours in names.items() if theirs in pairs}
    given |= {"schedule": pairs["Schedule type"]} if "Schedule type" in pairs else {}
    given |= {"width": size[1], "height": size[2]} if size else {}
    loras = {name.strip(): float(scale or 1) for name, scale in _LORA.findall(prompt)}
    for name in re.findall(r"([^:,]+): *[0-9a-fA-F]+", pairs.get("Lora hashes", "")):
        loras.setdefault(name.strip(), 1.0)  # used, with a weight that is not told
    return ImageParameters(tool, prompt.strip(), negative.strip(), _settings(given), tuple(loras.items()))


def _unquoted(value: str) -> str:
    value = value.strip()
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            pass
    return value


def _flat_json(text: str) -> ImageParameters | None:
    """SwarmUI and Fooocus write one object under the key that A1111 uses."""
    data = json.loads(text)
    tool = "SwarmUI" if "sui_image_params" in data else "Fooocus"
    data = data.get("sui_image_params", data)
    if "base_model" in data:
        data = {"model": data["base_model"]} | data
    given = {setting: value for key, value in data.items() if (setting := setting_of(key)) is not None}
    size = re.search(r"(\d{1,6})\D{1,4}(\d{1,6})", str(given.get("size", "")))
    given = ({"width": size[1], "height": size[2]} if size else {}) | given
    if not isinstance(given.get("prompt"), str):
        return None
    names, weights = data.get("loras"), data.get("loraweights")
    loras: list[tuple[str, float]] = []
    if isinstance(names, list) and all(isinstance(n, str) for n in names):
        scales = weights if isinstance(weights, list) and len(weights) == len(names) else [1] * len(names)
        loras = [(n, float(w)) for n, w in zip(names, scales, strict=True)]
    return ImageParameters(tool, given["prompt"], _text(given.get("negative")), _settings(given), tuple(loras))


def _invoke(text: str, tool: str) -> ImageParameters | None:
    data = json.loads(text)
    if not isinstance(data.get("positive_prompt"), str):
        return None
    given = {setting: value for key, value in data.items() if (setting := setting_of(key)) is not None}
    given |= {"sampler": data.get("scheduler"), "model": _model_name(data.get("model"))}
    loras = [
        (name, float(one.get("weight", 1)))
        for one in data.get("loras") or []
        if (name := _model_name(one.get("model", one.get("lora"))))
    ]
    return ImageParameters(
        tool, data["positive_prompt"], _text(data.get("negative_prompt")), _settings(given), tuple(loras)
    )


def _model_name(model: Any) -> str:
    return _text(model.get("name", model.get("model_name"))) if isinstance(model, dict) else _text(model)


def _sd_metadata(text: str, tool: str) -> ImageParameters | None:
    data = json.loads(text)
    image = data["image"]
    prompts = image["prompt"]
    prompt = prompts[0]["prompt"] if isinstance(prompts, list) and len(prompts) == 1 else prompts
    if not isinstance(prompt, str):
        return None
    given = {setting: value for key, value in image.items() if (setting := setting_of(key)) is not None}
    positive, negative = _bracketed(prompt)
    return ImageParameters(tool, positive, negative, _settings({"model": data.get("model_weights")} | given))


def _dream(text: str, tool: str) -> ImageParameters | None:
    """``"a cat [fog]" -s 50 -S 7 -W 512``: the command line of early InvokeAI."""
    words = shlex.split(text)
    if not words:
        return None
    given: dict[str, str] = {}
    for n, word in enumerate(words[1:], 1):
        name = _DREAM.get(word[:2])
        if name is not None:
            given[name] = word[2:] or (words[n + 1] if n + 1 < len(words) else "")
    positive, negative = _bracketed(words[0])
    return ImageParameters(tool, positive, negative, _settings(given)) if given else None


def _bracketed(prompt: str) -> tuple[str, str]:
    """Early InvokeAI's negative prompt stands in square brackets within the prompt."""
    negative = " ".join(re.findall(r"\[([^\[\]]*)\]", prompt))
    return " ".join(re.sub(r"\[[^\[\]]*\]", "", prompt).split()), negative


def _comfy(text: str, tool: str) -> ImageParameters | None:
    """The graph of a workflow: the one node that samples, and the texts that go straight into it."""
    nodes = {
        str(k): v for k, v in json.loads(text).items() if isinstance(v, dict) and isinstance(v.get("inputs"), dict)
    }
    samplers = [n for n in nodes.values() if {"positive", "negative", "steps"} <= n["inputs"].keys()]
    if len(samplers) != 1:
        return None
    sampler = samplers[0]["inputs"]
    prompt, negative = (_comfy_text(nodes, sampler[side]) for side in ("positive", "negative"))
    if prompt is None or negative is None:
        return None
    given = {
        "seed": sampler.get("seed", sampler.get("noise_seed")),
        "steps": sampler.get("steps"),
        "guidance": sampler.get("cfg"),
        "sampler": sampler.get("sampler_name"),
        "schedule": sampler.get("scheduler"),
    }
    latents = [n["inputs"] for n in nodes.values() if re.match(r"Empty\w*Latent", str(n.get("class_type")))]
    if len(latents) == 1:
        given |= {k: latents[0].get(k) for k in ("width", "height")}
    models = [n["inputs"].get("ckpt_name", n["inputs"].get("unet_name")) for n in nodes.values()]
    models = [m for m in models if isinstance(m, str)]
    given |= {"model": models[0]} if len(models) == 1 else {}
    loras = [
        (n["inputs"]["lora_name"], float(n["inputs"].get("strength_model", 1)))
        for n in nodes.values()
        if isinstance(n["inputs"].get("lora_name"), str)
    ]
    return ImageParameters(tool, prompt, negative, _settings(given), tuple(loras))


def _comfy_text(nodes: Mapping[str, Any], link: Any, depth: int = 0) -> str | None:
    """The text at the end of a link, through nodes with a single text; None where it is not clear."""
    if isinstance(link, str):
        return link
    if not isinstance(link, list) or not link or depth > 4 or str(link[0]) not in nodes:
        return None
    node = nodes[str(link[0])]
    if str(node.get("class_type")) == "ConditioningZeroOut":
        return ""
    found = [node["inputs"][k] for k in ("text", "string", "value", "prompt") if k in node["inputs"]]
    return _comfy_text(nodes, found[0], depth + 1) if len(found) == 1 else None
