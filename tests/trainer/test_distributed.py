"""Two processes learn what one learns from the same batch: started by ``accelerate launch``, summed over gloo."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch

from engine.contract import training_events as events
from tests.trainer.runs import losses, make_world, process, read_events, train, write_config
from trainer.learn.tensors import read_tensors

STEPS = 6


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("many"))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.parametrize("sharding", ["ddp", pytest.param("fsdp2", marks=pytest.mark.slow)])
def test_two_processes_give_the_curve_of_one(world: Path, sharding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONART_HOME", str(world / "home"))
    # an odd batch over two processes, shapes that differ, parts of different numbers
    changes = ["kind=full", f"schedule.steps={STEPS}", "batch.size=5", "batch.micro=2", "optimiser.lr=1e-3", "ema.decay=0.9", "name=r",
               "previews.prompts=['cat']", "previews.every=6", "previews.steps=1", "device.device=cpu"]
    told, _ = train(world, f"one-{sharding}", *changes)
    config = write_config(world, f"two-{sharding}")
    options = [x for change in [*changes, f"device.sharding={sharding}"] for x in ("--set", change)]
    child = process(world, config, *options, launcher=(
        "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--num_cpu_threads_per_process", "1", "--main_process_ip", "127.0.0.1", "--main_process_port", str(free_port()), "-m", "trainer"))
    output, errors = child.communicate(timeout=240)
    assert child.returncode == 0, errors[-3000:]
    two = read_events(output)
    assert isinstance(two[-1], events.Finished), errors[-3000:]
    started = next(e for e in two if isinstance(e, events.Started))
    assert started.processes == 2 and started.batch == 5
    one, many = losses(told), losses(two)
    assert many.keys() == one.keys() == set(range(1, STEPS + 1))  # and one process alone speaks
    for step, loss in one.items():
        assert many[step] == pytest.approx(loss, rel=1e-4)
    for kind in (events.HeldoutLoss,):
        assert [e.loss for e in two if isinstance(e, kind)] == pytest.approx([e.loss for e in told if isinstance(e, kind)], rel=1e-4)
    assert [e for e in two if isinstance(e, events.Preview)]
    a, b = (read_tensors(world / f"{x}-{sharding}" / "r" / "transformer" / "diffusion_pytorch_model.safetensors") for x in ("one", "two"))
    assert a.keys() == b.keys() and all(torch.allclose(a[k], b[k], atol=1e-3) for k in a)
