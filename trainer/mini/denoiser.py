"""Stage 3: the denoiser, by the trainer itself with ``resources/presets/training/mini-denoiser.toml`` on the exported
pictures.

It goes on from the denoiser of the model it is given (see ``assemble.base``). Sixteen tokens, v-prediction and small
batches are what one core can do; smaller patches or noise prediction gave mush (docs/decisions.md).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.checkpoint.library import open_model
from engine.contract import training_events as events
from engine.contract.errors import from_wire
from engine.contract.python_process import python_command, python_environment
from trainer.config import Config
from trainer.config_file import read_config
from trainer.mini.encoded import captions_of, fill

#: The transformer where none is given to go on from.
CONFIG = {
    "num_attention_heads": 4,
    "attention_head_dim": 64,
    "num_layers": 8,
    "in_channels": 4,
    "out_channels": 8,
    "patch_size": 4,
    "sample_size": 16,
    "cross_attention_dim": 256,
    "caption_channels": 192,
    "interpolation_scale": 1,
    "use_additional_conditions": False,
}
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "v_prediction",
    "algorithm_type": "dpmsolver++",
    "solver_order": 2,
}
NAME = "denoiser"


def build() -> Any:
    """An untrained denoiser."""
    from diffusers import PixArtTransformer2DModel

    return PixArtTransformer2DModel(**CONFIG)


def write_config(work: Path, weights: Mapping[Path, float]) -> Path:
    """``work/denoiser.toml``: the preset, on the folders of ``weights`` and the model in ``work/base``.

    ``commonart train`` takes it too.
    """
    lines = [
        'preset = "mini-denoiser"',
        f'output = "{NAME}"',
        f'name = "{NAME}"',
        'licence = "Apache-2.0"',
        "install = false",
        'policy = "pictures/policy.toml"',
        "",
        "[base]",
        'model = "base"',
    ]
    for folder, weight in weights.items():
        lines += [
            "",
            "[[dataset]]",
            f"folder = {json.dumps(folder.relative_to(work).as_posix())}",
            f"weight = {weight}",
        ]
    path = work / f"{NAME}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return path


def config(work: Path) -> Config:
    """What the denoiser was, or will be, trained by. Raises BadFile, BadConfig."""
    return read_config(work / f"{NAME}.toml")


def train(work: Path, *, changes: Sequence[str] = (), say: Callable[..., None] = print) -> Path | None:
    """Train by ``work/denoiser.toml``, resuming where the last run stopped; returns the finished model's folder.

    None where the run was stopped before its end: its last checkpoint is whole. ``changes`` are ``key=value`` over the
        configuration.

    Raises:
        SystemExit: the trainer refused or failed; it says why.
    """
    recipe = config(work)
    fill(open_model(recipe.base.model), captions_of(Path(d.folder) for d in recipe.dataset), say=say)
    begun = newest(work) is not None
    options = [*(["--resume"] if begun else []), *(f"--set={c}" for c in changes)]
    command = python_command("-m", "trainer", str(work / f"{NAME}.toml"), *options)
    result, stopped = "", False
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=python_environment(),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = events.decode(line)
            if isinstance(event, events.Step):
                say(f"denoiser {event.step}/{event.steps} loss {event.loss:.4f} {event.speed:.0f}/s", flush=True)
            elif isinstance(event, events.Preparing) and event.done == event.total:
                say(f"{event.what}: {event.done}", flush=True)
            elif isinstance(event, events.HeldoutLoss):
                say(f"denoiser {event.step} held-out loss {event.loss:.4f}", flush=True)
            elif isinstance(event, events.Broken):
                say(from_wire(event.error), flush=True)
            elif isinstance(event, events.Finished):
                result = event.path
            elif isinstance(event, events.Stopped):
                stopped = True
    if not result and not stopped:
        raise SystemExit(f"the trainer stopped with status {process.returncode}")
    return Path(result) if result else None


def newest(work: Path) -> tuple[int, Path] | None:
    """(step, folder) of the run's newest checkpoint."""
    found = sorted((work / NAME / "checkpoints").glob("step-*"))
    return (int(found[-1].name.removeprefix("step-")), found[-1]) if found else None
