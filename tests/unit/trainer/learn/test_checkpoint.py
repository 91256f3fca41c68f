"""No run is lost: checkpoints are whole or passed over, and a run killed at any step ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.contract import training_events as events
from engine.contract.errors import BrokenWeights, DiskFull, NothingToResume
from tests.support.training_runs import losses, make_world, process, read_events, train, write_config
from trainer.learn.checkpoint import Checkpoints, State
from trainer.learn.safetensors_writer import read_tensors, write_tensors

STEPS = 14


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("resume"))


@pytest.fixture(autouse=True)
def shared_home(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONART_HOME", str(world / "home"))


def contents(folder: Path) -> dict[str, str]:
    """Hash by name of what a run leaves: its result and its last checkpoint."""
    files = [
        p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and (p.suffix == ".safetensors" or p.name in ("state.json", "manifest.json"))
    ]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


FULL = (
    "kind=full",
    f"schedule.steps={STEPS}",
    "checkpoint.every=3",
    "ema.decay=0.9",
    "optimiser.lr=1e-3",
    "data.caption_dropout=0.3",
    "name=RESULT",
    "batch.accumulation=2",
    "batch.micro=3",
    "heldout.every=5",
)


def test_killed_anywhere_it_ends_bit_for_bit_the_same(world: Path) -> None:
    """Real processes, kill -9 at random steps and in the middle of writing, again and again."""
    options = [x for change in FULL for x in ("--set", change)]
    whole = process(world, write_config(world, "whole"), *options)
    text, errors = whole.communicate(timeout=120)
    assert whole.returncode == 0, errors
    want, want_losses = contents(world / "whole"), losses(read_events(text))
    config = write_config(world, "killed")
    chance = random.Random()
    seed = chance.randrange(1 << 30)
    chance.seed(seed)
    # killed between two steps, then by the system just after an operation on a checkpoint, and then left in peace
    plans: list[dict[str, str]] = [{}, {"COMMONART_FAULT": f"CRASH@{chance.randrange(4, 30)}"}, {}]
    seen: dict[int, float] = {}
    for n, environment in enumerate(plans):
        last = n == len(plans) - 1
        kill_at = chance.randrange(1, STEPS - 6) if n == 0 else None
        child = process(world, config, *(["--resume"] if n else []), *options, **environment)
        assert child.stdout is not None
        text = ""
        for line in child.stdout:
            text += line
            if kill_at and f'"event": "step", "step": {kill_at},' in line:
                child.kill()
        _, errors = child.communicate(timeout=120)
        assert not last or child.returncode == 0, (seed, errors, text)
        assert last or child.returncode != 0, (seed, n, text)
        for step, loss in losses(read_events(text)).items():
            assert seen.setdefault(step, loss) == loss, (seed, step)
    assert contents(world / "killed") == want, seed
    assert {k: seen[k] for k in sorted(seen)} == want_losses, seed
    lines = [json.loads(x) for x in (world / "killed" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [x["step"] for x in lines if x["event"] == "step"] == list(range(1, STEPS + 1)), (
        seed
    )  # the diary has every step once


@pytest.mark.parametrize(
    "changes", [("lora.dropout=0.2",), ("kind=full", "optimiser.name=came", "device.dtype=fp16", "ema.decay=0.9")]
)
def test_stopped_anywhere_it_ends_the_same(world: Path, changes: tuple[str, ...]) -> None:
    """The same promise for dropout, CAME, and the loss scale of fp16."""
    name = "stop" + str(len(changes))
    told, _ = train(world, f"{name}-whole", "name=r", *changes)

    def watch(trainer: Any, event: Any) -> None:
        if isinstance(event, events.Step) and event.step in (2, 5):
            trainer.commands.put("quit")

    parts: dict[int, float] = {}
    for n in range(3):
        some, _ = train(world, f"{name}-parts", "name=r", *changes, resume=n > 0, watch=watch)
        parts |= losses(some)
    assert parts == losses(told)
    result = "r.safetensors" if len(changes) == 1 else "r/transformer/diffusion_pytorch_model.safetensors"
    assert (world / f"{name}-whole" / result).read_bytes() == (world / f"{name}-parts" / result).read_bytes()


def state(step: int) -> State:
    noise = torch.Generator().manual_seed(step)
    return State(
        step,
        {"a.b": torch.randn(3, 4, generator=noise)},
        {"a.b/exp_avg": torch.randn(3, 4, generator=noise), "a.b/step": torch.tensor(float(step))},
        {"a.b": torch.randn(3, 4, generator=noise).bfloat16()},
        {"micro": 2, "history": [[1, 2.0, 3.0]]},
    )


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(state(5))
    found = kept.load(5)
    for name in ("weights", "optimiser", "ema"):
        have, want = getattr(found, name), getattr(state(5), name)
        assert have.keys() == want.keys() and all(
            torch.equal(have[k], want[k]) and have[k].dtype == want[k].dtype for k in want
        )
    assert found.facts["history"] == [[1, 2.0, 3.0]]
    assert sorted(p.name for p in (tmp_path / "step-00000005").iterdir()) == [
        "ema.safetensors",
        "manifest.json",
        "optimiser.safetensors",
        "state.json",
        "weights.safetensors",
    ]


@pytest.mark.parametrize(
    "file", ["weights.safetensors", "optimiser.safetensors", "ema.safetensors", "state.json", "manifest.json"]
)
@pytest.mark.parametrize("damage", ["bit", "cut", "gone"])
def test_a_broken_checkpoint_is_passed_over(tmp_path: Path, file: str, damage: str) -> None:
    kept = Checkpoints(tmp_path)
    for step in (3, 6):
        kept.save(state(step))
    path = kept.path(6) / file
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        data[len(data) // 2] ^= 0x20
        path.write_bytes(data if damage == "bit" else data[:-7])
    notes: list[BrokenWeights] = []
    found = kept.newest(notes.append)
    assert found is not None and found.step == 3 and len(notes) == 1 and str(kept.path(6)) in str(notes[0])


def test_the_last_and_the_best_stay(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    for step in range(1, 7):
        kept.save(state(step))
        kept.prune(2, best=2 if step >= 2 else None)
    assert kept.steps() == [6, 5, 2]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_leavings_of_the_dead_are_no_checkpoints(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(state(1))
    (tmp_path / ".step-00000009.commonart-part").mkdir()
    (tmp_path / "step-00000007").mkdir()
    assert kept.newest(lambda e: None).step == 1
    kept.save(state(2))
    assert not (tmp_path / ".step-00000009.commonart-part").exists()
    kept.save(state(7))  # a broken one of the same step is replaced
    assert kept.load(7).step == 7


def test_a_disk_that_fails_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(state(1))
    real = os.fsync
    calls = []

    def failing(fd: int) -> None:
        calls.append(fd)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(fd)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(DiskFull):
        kept.save(state(2))
    monkeypatch.setattr(os, "fsync", real)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]


def test_tensor_files_are_the_librarys_and_always_the_same(tmp_path: Path) -> None:
    from safetensors import safe_open

    tensors = {
        "b": torch.arange(5, dtype=torch.uint8),
        "a": torch.randn(2, 3).bfloat16(),
        "c": torch.randn(2, 2).T,
        "n": torch.tensor(3.0),
        "z": torch.zeros(0, 4),
    }
    first = write_tensors(tmp_path / "x.safetensors", tensors, {"猫": "cat", "b": "x"})
    assert first == hashlib.sha256((tmp_path / "x.safetensors").read_bytes()).hexdigest()
    assert first == write_tensors(tmp_path / "y.safetensors", dict(reversed(tensors.items())), {"b": "x", "猫": "cat"})
    found = read_tensors(tmp_path / "x.safetensors")
    assert all(torch.equal(found[k], tensors[k]) and found[k].dtype == tensors[k].dtype for k in tensors)
    with safe_open(tmp_path / "x.safetensors", "pt") as f:
        assert f.metadata() == {"猫": "cat", "b": "x"}
    from engine.checkpoint.weights import read_header

    assert read_header(tmp_path / "x.safetensors").keys() == tensors.keys()


def test_nothing_to_go_on_with(world: Path) -> None:
    with pytest.raises(NothingToResume):
        train(world, "empty", resume=True)
    train(world, "ruined", "schedule.steps=3", "checkpoint.keep=1")
    for file in (world / "ruined" / "checkpoints").rglob("weights.safetensors"):
        file.write_bytes(b"")
    with pytest.raises(NothingToResume):
        train(world, "ruined", "schedule.steps=3", "checkpoint.keep=1", resume=True)
