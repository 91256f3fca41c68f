"""Lanes: shares in order, errors of one stop all, and pictures that are the same with one lane or several."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import pipeline
from engine.backends.pytorch import backend as pytorch_backend
from engine.backends.pytorch.backend import TorchBackend
from engine.backends.row_threads import RowThreads, ThreadCancelled
from engine.checkpoint.library import open_model
from engine.contract.request import ImageRequest


@given(st.integers(1, 9), st.integers(0, 40))
def test_shares(count: int, items: int) -> None:
    shares = RowThreads(count).shares(range(items))
    assert [x for share in shares for x in share] == list(range(items))
    assert len(shares) == min(count, items) and max(map(len, shares), default=0) - min(map(len, shares), default=0) <= 1


def test_each_lane_is_a_thread_and_results_keep_their_order() -> None:
    together = threading.Barrier(3, timeout=30)

    def work(lane: int, share: Sequence[int]) -> tuple[int, list[int]]:
        together.wait()  # all three are at work at once
        return lane, list(share)

    assert RowThreads(3).map(work, [0, 1, 2, 3]) == [(0, [0, 1]), (1, [2]), (2, [3])]


def test_an_error_stops_the_others() -> None:
    lanes = RowThreads(2)
    failed = threading.Event()

    def work(lane: int, share: Sequence[int]) -> None:
        if lane == 1:
            failed.set()
            raise MemoryError("lane 1")
        assert failed.wait(30)
        while True:
            lanes.check()

    with pytest.raises(MemoryError, match="lane 1"):
        lanes.map(work, [1, 2])
    assert lanes.map(lambda _, share: list(share), [1, 2]) == [[1], [2]]  # and works again afterwards
    with pytest.raises(ThreadCancelled):
        RowThreads(2).map(lambda *_: (_ for _ in ()).throw(ThreadCancelled()), [1, 2])


def test_pictures_do_not_know_of_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_model("commonart-mini")
    requests = [
        pipeline.settle(ImageRequest(prompt=p, seed=n, steps=4), folder)
        for n, p in enumerate(["りんご", "a red apple", "猫、青い背景", "富士山", "寿司"])
    ]
    pictures = []
    for cores in (1, 2, 3):
        monkeypatch.setattr(pytorch_backend, "CORES", cores)
        backend = TorchBackend(folder, device="cpu")
        latents = pipeline.denoise_batch(backend, requests, pipeline.encode(backend, requests))
        assert backend.lanes(5).count == cores
        pictures.append(pipeline.decode(backend, latents).astype(int))
    monkeypatch.undo()
    backend.lanes(1)  # torch's own threads as they were
    assert max(np.abs(one - pictures[0]).max() for one in pictures) <= 1
