"""Many processes learn what one learns from the same batch; when one dies all stop and say so; any number goes on.

Over gloo, on the processor.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from engine.contract import training_events as events
from engine.contract.events import Event
from tests.support.training_runs import ROOT, losses, make_world, process, read_events, train, write_config
from trainer.learn.checkpoint import Checkpoints
from trainer.learn.safetensors_writer import read_tensors

STEPS = 12
# an odd batch over two processes, shapes that differ, parts of different numbers
CHANGES = [
    "kind=full",
    f"schedule.steps={STEPS}",
    "batch.size=5",
    "batch.micro=2",
    "optimiser.lr=1e-3",
    "ema.decay=0.9",
    "name=r",
    "install=false",
    "checkpoint.every=4",
    "heldout.every=4",
    "device.device=cpu",
]
# sums of float32 in another order: seen are differences of at most 2e-7 over 100 steps
CLOSE = 1e-5


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("many"))


@pytest.fixture(autouse=True)
def shared_home(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONART_HOME", str(world / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def alone(world: Path) -> list[Event]:
    """What one process tells of the whole run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMMONART_HOME", str(world / "home"))
        return train(world, "alone", *CHANGES)[0]


def start(
    world: Path,
    output: str,
    count: int,
    *changes: str,
    resume: bool = False,
    accelerate: str = "cpu",
    **environment: str,
) -> subprocess.Popen[str]:
    """``count`` processes under the accelerate file that comes with the program."""
    options = [x for change in (*CHANGES, *changes) for x in ("--set", change)]
    launcher = (
        "-m",
        "trainer.launch",
        "--accelerate",
        accelerate,
        "--launch",
        f"num_processes={count}",
        "--launch",
        "num_cpu_threads_per_process=1",
    )
    return process(
        world,
        write_config(world, output),
        *(["--resume"] if resume else []),
        *options,
        launcher=launcher,
        **environment,
    )


def run(
    world: Path, output: str, count: int, *changes: str, resume: bool = False, accelerate: str = "cpu"
) -> list[Event]:
    child = start(world, output, count, *changes, resume=resume, accelerate=accelerate)
    text, errors = child.communicate(timeout=280)
    told = read_events(text)
    assert child.returncode == 0 and isinstance(told[-1], events.Finished), (
        child.returncode,
        told[-1:],
        errors[-3000:],
    )
    return told


def heldout(told: list[Event]) -> dict[int, float]:
    return {e.step: e.loss for e in told if isinstance(e, events.HeldoutLoss)}


def kill(child: subprocess.Popen[str], rank: int, step: int) -> tuple[list[Event], float, str]:
    """End one of its processes when ``step`` is told.

    Returns what was told, the seconds until all had ended, and the chatter.
    """
    assert child.stdout is not None
    text, began = "", 0.0
    for line in child.stdout:
        text += line
        if f'"event": "step", "step": {step},' in line:
            (victim,) = [
                p for p in psutil.Process(child.pid).children(recursive=True) if p.environ().get("RANK") == str(rank)
            ]
            victim.kill()
            began = time.monotonic()
    _, errors = child.communicate(timeout=120)
    return read_events(text), time.monotonic() - began, errors


def sane(folder: Path) -> list[int]:
    """Steps of the checkpoints, every byte of each checked, and nothing half-written beside them."""
    kept = Checkpoints(folder / "checkpoints")
    assert all(kept.load(step).step == step for step in kept.steps())
    assert not [p.name for p in folder.rglob("*") if p.name.endswith(".part")] and not (folder / "r").exists()
    return kept.steps()


def test_one_of_two_is_killed_and_one_goes_on(world: Path) -> None:
    """The short form of all below: two processes learn as one, one is killed, the other says so and stops, and a single
    one ends the run.
    """
    before, seconds, errors = kill(start(world, "killed", 2, "schedule.steps=1200", "schedule.kind=constant"), 1, 5)
    end = before[-1]
    assert isinstance(end, events.Broken) and end.error["kind"] == "process-lost", (before[-1:], errors[-3000:])
    assert end.error["fields"]["number"] == 2 and end.error["fields"]["count"] == 2 and "killed" in end.error["message"]
    assert [e for e in before if isinstance(e, events.Broken)] == [end]
    assert seconds < 20, seconds
    assert sane(world / "killed")[0] >= 4
    for step in sane(world / "killed"):
        if step > 4:
            shutil.rmtree(Checkpoints(world / "killed" / "checkpoints").path(step))
    after, _ = train(world, "killed", *CHANGES, "schedule.kind=constant", resume=True)
    assert isinstance(after[-1], events.Finished)
    assert losses(after).keys() == set(range(5, STEPS + 1))
    whole = losses(train(world, "whole", *CHANGES, "schedule.kind=constant")[0])
    assert {s: x for s, x in losses(before).items() if s < 5} | losses(after) == pytest.approx(whole, rel=CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("count, accelerate", [(2, "many-gpus"), (3, "cpu"), (2, "fsdp2"), (3, "fsdp2")])
def test_many_give_the_curve_of_one(world: Path, alone: list[Event], count: int, accelerate: str) -> None:
    told = run(
        world,
        f"all-{count}-{accelerate}",
        count,
        "previews.prompts=['cat']",
        "previews.every=12",
        "previews.steps=1",
        accelerate=accelerate,
    )
    started = next(e for e in told if isinstance(e, events.Started))
    assert started.processes == count and started.batch == 5
    assert losses(told).keys() == losses(alone).keys() == set(range(1, STEPS + 1))  # and one process alone speaks
    assert losses(told) == pytest.approx(losses(alone), rel=CLOSE) and heldout(told) == pytest.approx(
        heldout(alone), rel=CLOSE
    )
    assert [e for e in told if isinstance(e, events.Preview)]
    a, b = (
        read_tensors(world / x / "r" / "transformer" / "diffusion_pytorch_model.safetensors")
        for x in ("alone", f"all-{count}-{accelerate}")
    )
    assert a.keys() == b.keys() and all(torch.allclose(a[k], b[k], atol=1e-3) for k in a)


@pytest.mark.slow
@pytest.mark.parametrize("counts", [(3, 1, 2), (1, 2, 3), (2, 3, 1)])
def test_any_number_goes_on(world: Path, alone: list[Event], counts: tuple[int, ...]) -> None:
    """Four steps on each number of processes: the curve of one process that was never stopped."""
    output = "-".join(map(str, counts))
    seen: dict[int, float] = {}
    for n, count in enumerate(counts):
        child = start(world, output, count, resume=n > 0)
        stops = 4 * (n + 1)
        text = ""
        assert child.stdout is not None and child.stdin is not None
        if stops < STEPS:
            for line in child.stdout:
                text += line
                if f'"event": "step", "step": {stops - 1},' in line:
                    child.stdin.write('{"command": "quit"}\n')
                    child.stdin.flush()
        rest, errors = child.communicate(timeout=280)
        told = read_events(text + rest)
        assert child.returncode == (130 if stops < STEPS else 0), (child.returncode, told[-1:], errors[-3000:])
        assert isinstance(told[-1], events.Stopped if stops < STEPS else events.Finished), told[-1]
        seen |= losses(told)
    assert seen == pytest.approx(losses(alone), rel=CLOSE)


@pytest.mark.slow
def test_sharded_goes_on_elsewhere(world: Path, alone: list[Event]) -> None:
    """From FSDP2 on three to one process, and from one to FSDP2 on two."""
    shutil.rmtree(world / "sharded", ignore_errors=True)
    before, _, _ = kill(start(world, "sharded", 3, accelerate="fsdp2"), 2, 6)
    assert isinstance(before[-1], events.Broken) and sane(world / "sharded") == [4]
    middle, _ = train(world, "sharded", *CHANGES, resume=True, commands=["quit"])
    assert isinstance(middle[-1], events.Stopped) and middle[-1].step == 4
    after = run(world, "sharded", 2, resume=True, accelerate="fsdp2")
    assert losses(before) | losses(after) == pytest.approx(losses(alone), rel=CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("accelerate, rank", [("cpu", 0), ("cpu", 2), ("fsdp2", 0), ("fsdp2", 1)])
def test_whoever_is_killed_the_others_stop_within_seconds(world: Path, accelerate: str, rank: int) -> None:
    output = f"dead-{accelerate}-{rank}"
    told, seconds, errors = kill(start(world, output, 3, "schedule.steps=2000", accelerate=accelerate), rank, 9)
    broken = [e for e in told if isinstance(e, events.Broken)]
    assert len(broken) == 1 and broken[0].error["kind"] == "process-lost", (told[-1:], errors[-3000:])
    assert broken[0].error["fields"]["number"] == rank + 1
    assert seconds < 20, seconds
    assert sane(world / output)[0] >= 8


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def machines(folders: list[Path], *, resume: bool = False) -> list[subprocess.Popen[str]]:
    """One process on each of several machines that share nothing: a folder each for pictures, model, features and
    output.
    """
    port, found = free_port(), []
    for rank, folder in enumerate(folders):
        options = [*(["--resume"] if resume else []), *(x for change in CHANGES for x in ("--set", change))]
        said = [
            f"num_machines={len(folders)}",
            f"num_processes={len(folders)}",
            f"machine_rank={rank}",
            "main_process_ip=127.0.0.1",
            f"main_process_port={port}",
        ]
        found.append(
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "trainer.launch",
                    "--accelerate",
                    "many-machines",
                    *(x for s in said for x in ("--launch", s)),
                    str(write_config(folder, "out")),
                    *options,
                ],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                env=os.environ | {"COMMONART_HOME": str(folder / "home")},
            )
        )
    return found


def copies(world: Path, name: str) -> list[Path]:
    folders = [world / f"{name}-{n}" for n in (0, 1)]
    for folder in folders:
        for part in ("data", "tiny"):
            shutil.copytree(world / part, folder / part)
    return folders


@pytest.mark.slow
def test_machines_that_share_no_folder(world: Path, alone: list[Event]) -> None:
    """Each encodes all features for itself, the first keeps the run and hands its checkpoint on, and what one process
    learns is learned.
    """
    folders = copies(world, "apart")
    first, second = machines(folders)
    assert first.stdout is not None
    text = ""
    for line in first.stdout:
        text += line
        if '"event": "step", "step": 6,' in line:
            (victim,) = [
                p for p in psutil.Process(second.pid).children(recursive=True) if p.environ().get("RANK") == "1"
            ]
            victim.kill()
    errors = first.communicate(timeout=120)[1]
    second.communicate(timeout=120)
    before = read_events(text)
    end = before[-1]
    assert (
        isinstance(end, events.Broken) and end.error["kind"] == "process-lost" and end.error["fields"]["number"] == 2
    ), (end, errors[-2000:])
    assert (first.returncode, sane(folders[0] / "out")) == (1, [4])
    ends = [(*c.communicate(timeout=280), c.returncode) for c in machines(folders, resume=True)]
    assert [code for _, _, code in ends] == [0, 0], [e[-2000:] for _, e, _ in ends]
    assert losses(before) | losses(read_events(ends[0][0])) == pytest.approx(
        losses(alone), rel=CLOSE
    ) and not read_events(ends[1][0])
    latents = [sorted(p.name for p in (f / "home" / "cache" / "latents").rglob("*.safetensors")) for f in folders]
    assert latents[0] == latents[1] and latents[0]
    assert (folders[0] / "out" / "checkpoints").is_dir() and not (folders[1] / "out" / "checkpoints").exists()


@pytest.mark.slow
def test_a_machine_whose_copy_was_altered_is_refused(world: Path) -> None:
    """The gate looks at what each machine would read, not only at the first one's files."""
    folders = copies(world, "altered")
    picture = next(p for p in sorted((folders[1] / "data").rglob("*.png")))
    picture.write_bytes(picture.read_bytes()[:-20] + bytes(20))
    ends = [(*c.communicate(timeout=280), c.returncode) for c in machines(folders)]
    told = read_events(ends[0][0])
    assert isinstance(told[-1], events.Broken) and not losses(told), (told[-1:], ends[0][1][-2000:])
    assert all(code != 0 for _, _, code in ends)
    assert picture.name in told[-1].error["message"], told[-1]


@pytest.mark.slow
def test_the_command_line_starts_them(world: Path, alone: list[Event]) -> None:
    """``commonart train --accelerate``: the same events, the result's path on standard output, and Ctrl+C's command
    reaches the first of them.
    """
    options = [x for change in CHANGES for x in ("--set", change)]
    command = [
        sys.executable,
        "-m",
        "commonart_desktop",
        "train",
        str(write_config(world, "command")),
        "--accelerate",
        "cpu",
        "--launch",
        "num_cpu_threads_per_process=1",
        "--quiet",
        *options,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=280)
    assert done.returncode == 0 and done.stdout.strip() == str(world / "command" / "r"), (
        done.stdout,
        done.stderr[-3000:],
    )
    kept = [json.loads(x) for x in (world / "command" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {x["step"]: x["loss"] for x in kept if x["event"] == "step"} == pytest.approx(losses(alone), rel=CLOSE)
    assert next(x for x in kept if x["event"] == "started")["processes"] == 2
