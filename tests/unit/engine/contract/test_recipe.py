"""Recipes: what is kept, and that nothing in a foreign one is trusted."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract import recipe as recipes
from engine.contract.errors import BadValue, CommonArtError, UnknownSampler
from engine.contract.request import ImageRequest

REQUEST = ImageRequest(
    prompt="すし, Steps: 9",
    seed=7,
    template="{すし|寿司}",
    draw=("すし",),
    negative="a\nb",
    width=64,
    height=64,
    out="/home/me",
    text_encoder="/secret",
    vae="/secret",
)


def made() -> dict[str, Any]:
    return recipes.build(
        REQUEST,
        model="mini",
        hashes={"denoiser": "ab" * 32},
        backend={"backend": "pytorch", "device": "cpu", "dtype": "fp32"},
        batch=(4, 1),
        pixel_sha256="cd" * 32,
        app="test 1",
    )


def test_a_recipe_gives_its_request_back_without_places() -> None:
    recipe = made()
    assert "/home/me" not in str(recipe) and "/secret" not in str(recipe)
    back = recipes.request_of(recipe)
    assert (back.prompt, back.seed, back.template, back.draw, back.negative, back.steps) == (
        "すし, Steps: 9",
        7,
        "{すし|寿司}",
        ("すし",),
        "a\nb",
        20,
    )
    assert back.model == "mini" and back.out == "" and back.vae is None


def test_the_parameters_text_is_what_others_read() -> None:
    lines = recipes.parameters(made()).splitlines()
    assert lines[:2] == ["すし, Steps: 9", "Negative prompt: a b"]
    assert (
        lines[2]
        == "Steps: 20, Sampler: DPM++ 2M, CFG scale: 4.5, Seed: 7, Size: 64x64, Model hash: ababababab, Model: mini, "
        "Version: test 1"
    )


@pytest.mark.parametrize("model", ["/etc", "../x", "C:\\x", "~/x", "a\\b", ".hidden"])
def test_a_recipe_may_not_name_a_path(model: str) -> None:
    recipe = made()
    recipe["request"]["model"] = model
    with pytest.raises(BadValue):
        recipes.request_of(recipe)


@pytest.mark.parametrize("batch", [[3_000_000, 0], [0, 0], [2, 5], [2, -1], [2], "x", [True, False], None])
def test_a_replay_is_of_a_sane_size(batch: Any) -> None:
    with pytest.raises(BadValue):
        recipes.check(made() | {"batch": batch})


@given(
    st.sampled_from(["commonart", "request", "hashes", "backend", "batch", "pixel_sha256", "app"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=5), c, max_size=3),
    ),
)
def test_no_broken_recipe_is_more_than_an_error(key: str, value: Any) -> None:
    recipe = copy.deepcopy(made())
    recipe[key] = value
    try:
        recipes.request_of(recipe)
    except CommonArtError:
        pass


FIELDS = [
    "prompt",
    "seed",
    "steps",
    "guidance",
    "model",
    "name",
    "extra",
    "draw",
    "deterministic",
    "template",
    "width",
    "sampler",
    "format",
    "new",
]


@given(
    st.sampled_from(FIELDS),
    st.none() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers(), max_size=2) | st.booleans(),
)
def test_no_request_holds_a_wrong_type(key: str, value: Any) -> None:
    try:
        request = ImageRequest.from_dict({"prompt": "x", "seed": 1, key: value})
    except (BadValue, UnknownSampler):
        return
    assert ImageRequest.from_dict(request.to_dict()) == request


def test_row_identity_changes_with_the_request() -> None:
    assert recipes.identity(1, REQUEST) != recipes.identity(2, REQUEST)
    assert recipes.identity(1, REQUEST) == recipes.identity(1, ImageRequest.from_dict(REQUEST.to_dict()))


def test_a_phrase_in_a_phrase_crosses_the_wire() -> None:
    from engine.contract.errors import BadFile, Phrase, from_wire

    inner = Phrase("there is no such file")
    error = from_wire(
        json.loads(json.dumps(BadFile(path="x", why=Phrase("it is not TOML ({reason})", reason=inner)).to_wire()))
    )
    assert (
        isinstance(error.fields["why"].fields["reason"], Phrase)
        and str(error) == "x cannot be read: it is not TOML (there is no such file)"
    )
