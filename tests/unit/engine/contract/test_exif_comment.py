"""EXIF's UserComment in every character code, named rightly or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.exif_comment import decode_comment

TEXTS = (
    "a red apple\nSteps: 20, Seed: 5",
    "りんご\nSteps: 20, 漢字 é",
    "りんごのえ",
    "漢字交じり文のプロンプト",
    "a",
    "",
)
CODES = (b"UNICODE\0", b"ASCII\0\0\0", b"\0" * 8, b"")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "utf-16", "utf-8"])
def test_utf16_of_either_order_and_utf8_under_any_code(text: str, encoding: str) -> None:
    for code in CODES:
        for end in (b"", b"\0", b"\0\0"):
            assert decode_comment(code + text.encode(encoding) + end) == text, (code, end)


def test_jis() -> None:
    code = b"JIS\0\0\0\0\0"
    escaped = "りんご apple".encode("iso2022_jp")
    assert decode_comment(code + escaped + b"\0") == "りんご apple"
    assert decode_comment(code + "りんご".encode("iso2022_jp")[3:-3]) == "りんご"
    assert decode_comment(code + "りんご".encode("cp932")) == "りんご"
    assert decode_comment(b"\0" * 8 + "りんごのカード".encode("cp932")) == "りんごのカード"


@given(st.sampled_from((*CODES, b"JIS\0\0\0\0\0")), st.binary(max_size=60))
def test_any_bytes_are_some_text(code: bytes, data: bytes) -> None:
    assert isinstance(decode_comment(code + data), str)


@given(st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20), min_size=2), st.booleans())
def test_latin_text_with_settings_is_never_mistaken(text: str, big: bool) -> None:
    whole = text + "\nSteps: 20"
    assert decode_comment(b"UNICODE\0" + whole.encode("utf-16-be" if big else "utf-16-le")) == whole
    assert decode_comment(b"UNICODE\0" + whole.encode()) == whole
