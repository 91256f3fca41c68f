"""Small training runs for the tests: a world with pictures and a tiny model, and a trainer in this process or in its
own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.contract import training_events as events
from engine.contract.events import Event
from tests.support.images import make_dataset
from tests.support.paths import ROOT
from tests.support.tiny_models import make_pipeline

BASE = """output = "{output}"
[base]
model = "./tiny"
[[dataset]]
folder = "data"
[lora]
rank = 4
[optimiser]
lr = 1e-2
[schedule]
steps = 8
warmup = 2
[batch]
size = 4
[data]
heldout = 0.2
flip = 0.5
latents = "sample"
[heldout]
every = 4
[checkpoint]
every = 3
[log]
tensorboard = false
"""


def make_world(folder: Path, pictures: int = 10, **model: Any) -> Path:
    """``folder`` with ``data``, ``tiny`` and a home of its own, shared by all runs in it."""
    make_dataset(folder / "data", pictures, size=40)
    make_pipeline(folder / "tiny", **model)
    return folder


def write_config(world: Path, output: str) -> Path:
    path = world / f"{output}.toml"
    path.write_text(BASE.format(output=output), encoding="utf-8")
    return path


def train(
    world: Path,
    output: str,
    *changes: str,
    resume: bool = False,
    commands: Sequence[str] = (),
    watch: Callable[[Any, Event], None] | None = None,
) -> tuple[list[Event], Any]:
    """Run in this process; returns its events and the trainer. ``watch`` sees each event as it comes."""
    from trainer.config_file import read_config
    from trainer.learn.commands import Commands
    from trainer.learn.distributed.processes import Processes
    from trainer.learn.loop import Trainer

    told: list[Event] = []
    waiting = Commands()
    for command in commands:
        waiting.put(command)

    def say(event: Event) -> None:
        told.append(events.decode(events.encode(event)))  # as it crosses the wire
        if watch:
            watch(trainer, event)

    trainer = Trainer(read_config(write_config(world, output), changes), say, waiting, Processes("cpu"), resume=resume)
    trainer.run()
    return told, trainer


def losses(told: Sequence[Event]) -> dict[int, float]:
    """Step -> loss."""
    return {e.step: e.loss for e in told if isinstance(e, events.Step)}


def process(
    world: Path, config: Path, *options: str, launcher: Sequence[str] = ("-m", "trainer"), **environment: str
) -> subprocess.Popen[str]:
    """A trainer process; its standard output brings events."""
    return subprocess.Popen(
        [sys.executable, *launcher, str(config), *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"COMMONART_HOME": str(world / "home")} | environment,
    )


def read_events(text: str) -> list[Event]:
    """Whole lines of a process's output; a kill may have cut the last."""
    found = []
    for line in text.splitlines():
        try:
            json.loads(line)
        except ValueError:
            continue
        found.append(events.decode(line))
    return found
