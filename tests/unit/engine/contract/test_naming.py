"""File names from templates."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract.errors import BadTemplate
from engine.contract.naming import DEFAULT, check, render
from engine.contract.request import ImageRequest


def name(template: str, prompt: str = "すし", **more: object) -> str:
    request = ImageRequest(**{"prompt": prompt, "seed": 7, "width": 64, "height": 32} | more)
    return str(render(template, request, job="祭り", image=3, when=0))  # type: ignore[arg-type]


def test_fields_are_filled_in() -> None:
    assert (
        name("{job}/{prompt:2}-{seed}_{width}x{height}-{steps}-{guidance}-{sampler}-{id}")
        == "祭り/すし-7_64x32-20-4.5-dpm++2m-3"
    )
    assert name("{x}", extra={"x": "絵/本"}) == "絵_本"
    assert name("{model}", model="/home/me/models/real") == "real"
    assert name("{{{seed}}}") == "{7}"


@pytest.mark.parametrize(
    "template",
    [
        "",
        " ",
        "/x",
        "../x",
        "a/../b",
        "~/x",
        "C:x",
        "a\\b",
        "x/",
        "{",
        "}",
        "{nope}",
        "{prompt.x}",
        "{prompt[0]}",
        "{prompt:x}",
        "{prompt:0}",
        "{prompt:040}",
        "{date:08}",
        "{seed:8}",
        "{seed:>8}",
        "{seed:x}",
        "{seed:00}",
        "{seed:0100}",
        "{0}",
        "{}",
        "{prompt:40000}",
        "{prompt!r}{x}",
    ],
)
def test_what_leads_out_or_is_unknown_is_refused(template: str) -> None:
    with pytest.raises(BadTemplate):
        check(template)


def test_numbers_are_padded_with_zeros_and_never_cut() -> None:
    assert name("{seed:08}-{id:03}-{width:04d}") == "00000007-003-0064"
    assert name("{seed:02}", seed=1234567890123) == "1234567890123"
    assert name("{x:03}", extra={"x": "7"}) == "007" and name("{x:03}", extra={"x": "1234"}) == "1234"
    assert name("{x:3}", extra={"x": "abcdef"}) == "abc"
    for bad in ("abc", "", "1.5"):
        with pytest.raises(BadTemplate, match="x"):
            check("{x:03}", {"x": bad})


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("con", "_con"),
        ("a/b\\c:d", "a_b_c_d"),
        ("...", "_"),
        (" x. ", "x"),
        ("a\nb\tc", "a b c"),
        ("\u202eevil", "evil"),
        ("..", "_"),
        ("LPT1.txt", "_LPT1.txt"),
    ],
)
def test_names_are_safe_everywhere(prompt: str, expected: str) -> None:
    assert name("{prompt}", prompt) == expected


@settings(max_examples=300)
@given(st.text(max_size=400))
def test_no_prompt_leads_out_or_makes_a_bad_name(prompt: str) -> None:
    try:
        request = ImageRequest(prompt=prompt, seed=1)
    except Exception:
        return  # refused before
    path = render("{prompt}/{prompt:40}-{seed}", request)
    assert len(path.parts) <= 2 and not path.is_absolute()
    for part in path.parts:
        assert part not in (".", "..") and not set(part) & set('<>:"/\\|?*') and part.isprintable()
        assert len(part.encode()) <= 200 and part == part.strip() and not part.endswith(".")


def test_the_default_is_good() -> None:
    check(DEFAULT)
