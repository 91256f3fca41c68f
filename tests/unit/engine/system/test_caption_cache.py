"""The store of captions' features: the files of the safetensors library, without it.

Damage and full disks cost only time.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from engine.system.caption_cache import CaptionCache, PackedStates, file_of, pack, part_of, unpack

STATES = torch.arange(12, dtype=torch.float32).reshape(3, 4)
PACKED = PackedStates("F32", (3, 4), STATES.numpy().tobytes(), True)


def test_files_are_those_of_the_library() -> None:
    data = pack(PACKED)
    assert data == save({"states": STATES}, {"cut": "1"})
    assert torch.equal(load(data)["states"], STATES)
    assert unpack(data) == PACKED


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d[:-1],
        lambda d: d + b"\0",
        lambda d: d[:20],
        lambda d: d.replace(b"[3,4]", b"[3,5]"),
        lambda d: d.replace(b"[3,4]", b"[12,]"),
        lambda d: d.replace(b"[3,4]", b"  12 "),
        lambda d: d.replace(b"F32", b"I64"),
        lambda d: d.replace(b"[0,", b"[8,"),
        lambda d: d.replace(b"states", b"statue"),
        lambda _: b"",
    ],
)
def test_damaged_files_are_recognised(change: object) -> None:
    assert callable(change)
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        unpack(change(pack(PACKED)))


def test_location_of_version_0_1_0(tmp_path: Path) -> None:
    folder = tmp_path / part_of("ab" * 32, "float32")
    assert folder == tmp_path / "abababababababab-2" / "float32"
    key = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert file_of(folder, "x") == folder / "2d" / f"{key}.safetensors"


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    cache = CaptionCache(tmp_path / "file")
    cache.write("x", b"abc")
    assert not cache.has("x") and cache.read("x") is None
    cache = CaptionCache(tmp_path / "folder")
    cache.write("x", b"abc")
    assert cache.has("x") and cache.read("x") == b"abc" and not list(tmp_path.rglob("*.commonart-part*"))
