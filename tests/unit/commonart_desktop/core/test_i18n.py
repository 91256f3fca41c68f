"""Everything a person reads exists in Japanese too, with the same places to fill in."""

from __future__ import annotations

import json

import pytest

from tests.support.sentences import ROOT, collect, fields

FILES = sorted((ROOT / "resources" / "translations" / "ja").glob("*.json"))
JAPANESE: dict[str, str] = {}
for _file in FILES:
    JAPANESE |= json.loads(_file.read_text(encoding="utf-8"))


def test_no_sentence_stands_in_two_files() -> None:
    told = [key for file in FILES for key in json.loads(file.read_text(encoding="utf-8"))]
    assert sorted({key for key in told if told.count(key) > 1}) == []


def test_every_sentence_has_its_japanese() -> None:
    assert sorted(collect() - JAPANESE.keys()) == []


def test_no_sentence_is_left_over() -> None:
    # argparse words differ a little from one Python to the next
    assert sorted(k for k in JAPANESE.keys() - collect() if "%" not in k) == []


@pytest.mark.parametrize("english", sorted(JAPANESE))
def test_the_same_places_are_filled_in(english: str) -> None:
    assert fields(JAPANESE[english]) == fields(english)
    assert any(ord(c) > 0x3000 for c in JAPANESE[english]) or english in ("img",)
