"""What other programs say of an image: read where it is clear, else not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.image_parameters import ImageParameters, read_parameters


def read(key: str, text: Any) -> ImageParameters | None:
    return read_parameters({key: text if isinstance(text, str) else json.dumps(text)})


def test_a1111() -> None:
    text = (
        "a cat <lora:ink:0.8>,\nblue <lora:paper>\nNegative prompt: fog,\nrain\n"
        "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 42, Size: 512x768, "
        'Model: some, Lora hashes: "ink: 0a1b2c, wash: ffff00", Version: v1.10'
    )
    found = read("parameters", text)
    assert found == ImageParameters(
        "A1111",
        "a cat <lora:ink:0.8>,\nblue <lora:paper>",
        "fog,\nrain",
        {
            "steps": 28,
            "guidance": 7.5,
            "seed": 42,
            "sampler": "DPM++ 2M",
            "model": "some",
            "schedule": "Karras",
            "width": 512,
            "height": 768,
        },
        (("ink", 0.8), ("paper", 1.0), ("wash", 1.0)),
    )
    assert read("parameters", "Negative prompt: fog\nSteps: 5") == ImageParameters("A1111", "", "fog", {"steps": 5})
    assert read("parameters", "cat\nSteps: 5") == ImageParameters("A1111", "cat", "", {"steps": 5})
    assert read("parameters", "only words") is None


def test_invokeai() -> None:
    data = {
        "positive_prompt": "a cat",
        "negative_prompt": "fog",
        "seed": 7,
        "steps": 30,
        "cfg_scale": 6,
        "scheduler": "euler_a",
        "width": 512,
        "height": 640,
        "model": {"name": "some", "hash": "x"},
        "loras": [{"model": {"name": "ink"}, "weight": 0.5}],
    }
    found = read("invokeai_metadata", data)
    settings = {
        "seed": 7,
        "steps": 30,
        "guidance": 6.0,
        "sampler": "euler_a",
        "width": 512,
        "height": 640,
        "model": "some",
    }
    assert found == ImageParameters("InvokeAI", "a cat", "fog", settings, (("ink", 0.5),))
    old = {
        "model_weights": "some",
        "image": {"prompt": [{"prompt": "a cat [fog]", "weight": 1}], "steps": 5, "sampler": "k_lms"},
    }
    assert read("sd-metadata", old) == ImageParameters(
        "InvokeAI", "a cat", "fog", {"model": "some", "steps": 5, "sampler": "k_lms"}
    )
    assert read("Dream", '"a cat [fog]" -s 50 -S7 -W 512 -H 512 -C 7.5 -A k_lms') == ImageParameters(
        "InvokeAI",
        "a cat",
        "fog",
        {"steps": 50, "seed": 7, "width": 512, "height": 512, "guidance": 7.5, "sampler": "k_lms"},
    )


def graph() -> dict[str, Any]:
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 5,
                "steps": 20,
                "cfg": 8,
                "sampler_name": "euler",
                "scheduler": "normal",
                "model": ["10", 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["5", 0],
            },
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "some.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 256, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["11", 0], "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "fog", "clip": ["4", 1]}},
        "10": {"class_type": "LoraLoader", "inputs": {"lora_name": "ink.safetensors", "strength_model": 0.7}},
        "11": {"class_type": "PrimitiveString", "inputs": {"value": "a cat"}},
    }


def test_comfyui() -> None:
    assert read("prompt", graph()) == ImageParameters(
        "ComfyUI",
        "a cat",
        "fog",
        {
            "seed": 5,
            "steps": 20,
            "guidance": 8.0,
            "sampler": "euler",
            "schedule": "normal",
            "width": 512,
            "height": 256,
            "model": "some.safetensors",
        },
        (("ink.safetensors", 0.7),),
    )
    two = graph() | {"30": graph()["3"]}
    assert read("prompt", two) is None
    joined = graph()
    joined["6"] = {"class_type": "ConditioningCombine", "inputs": {"a": ["7", 0], "b": ["11", 0]}}
    assert read("prompt", joined) is None
    circle = graph()
    circle["11"]["inputs"]["value"] = ["6", 0]
    assert read("prompt", circle) is None


def test_swarmui_and_fooocus() -> None:
    swarm = {
        "prompt": "a cat",
        "negativeprompt": "fog",
        "cfgscale": 5,
        "steps": 9,
        "loras": ["ink"],
        "loraweights": ["0.5"],
    }
    assert read("parameters", {"sui_image_params": swarm}) == ImageParameters(
        "SwarmUI", "a cat", "fog", {"guidance": 5.0, "steps": 9}, (("ink", 0.5),)
    )
    fooocus = {
        "prompt": "a cat",
        "negative_prompt": "",
        "guidance_scale": 4,
        "resolution": "(512, 768)",
        "base_model": "m",
    }
    assert read("parameters", fooocus) == ImageParameters(
        "Fooocus", "a cat", "", {"width": 512, "height": 768, "model": "m", "guidance": 4.0}
    )


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("prompt", "[]"),
        ("prompt", "{"),
        ("prompt", '{"1": {"inputs": {"positive": 1, "negative": 2, "steps": 3}}}'),
        ("invokeai_metadata", "[" * 100_000),
        ("invokeai_metadata", '{"positive_prompt": "a", "loras": [1]}'),
        ("sd-metadata", '{"image": 3}'),
        ("Dream", '"never closed'),
        ("parameters", "{}"),
    ],
)
def test_what_is_not_understood_gives_nothing(key: str, text: str) -> None:
    assert read(key, text) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(["", "cat", "1e999", "nan"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["positive_prompt", "image", "prompt", "inputs", "positive", "negative", "steps", "seed", "loras"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["parameters", "prompt", "invokeai_metadata", "sd-metadata", "Dream"]),
        JSON.map(json.dumps) | st.text(),
    )
)
def test_any_text_is_read_or_left(texts: dict[str, str]) -> None:
    found = read_parameters(texts)
    assert found is None or (isinstance(found.prompt, str) and isinstance(found.negative, str))
