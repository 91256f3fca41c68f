"""Saving and resuming a stage: safetensors and JSON only, written aside and renamed."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.contract.files import rename


class Run:
    """Where one stage keeps its state."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "state.safetensors"


def _flat(
    model: torch.nn.Module, opt: torch.optim.Optimizer, ema: dict[str, torch.Tensor] | None
) -> dict[str, torch.Tensor]:
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    names = [n for n, _ in model.named_parameters()]
    for index, state in opt.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optim.{key}.{names[index]}"] = value.contiguous().clone()
    for key, value in (ema or {}).items():
        tensors[f"ema.{key}"] = value.contiguous().clone()
    return {k: v.clone() for k, v in tensors.items()}


def save(
    run: Run, step: int, model: torch.nn.Module, opt: torch.optim.Optimizer, ema: dict[str, torch.Tensor] | None = None
) -> None:
    """Write everything a resumed run needs to go on exactly; a crash leaves the former file."""
    aside = run.file.with_suffix(".tmp")
    save_file(_flat(model, opt, ema), aside, metadata={"state": json.dumps({"step": step})})
    rename(aside, run.file, overwrite=True)


def restore(
    run: Run, model: torch.nn.Module, opt: torch.optim.Optimizer, ema: dict[str, torch.Tensor] | None = None
) -> int:
    """Put the last saved state back; returns the step to go on from, 0 where nothing was saved."""
    if not run.file.exists():
        return 0
    with safe_open(run.file, "pt") as f:
        step = json.loads(f.metadata()["state"])["step"]
        model.load_state_dict({k: f.get_tensor(f"model.{k}") for k in model.state_dict()})
        state: dict[int, dict[str, torch.Tensor]] = {}
        keys = set(f.keys())
        for index, (name, _) in enumerate(model.named_parameters()):
            found = {
                key: f.get_tensor(f"optim.{key}.{name}")
                for key in ("step", "exp_avg", "exp_avg_sq")
                if f"optim.{key}.{name}" in keys
            }
            if found:
                state[index] = found
        opt.load_state_dict({"state": state, "param_groups": opt.state_dict()["param_groups"]})
        for key in ema or {}:
            ema[key].copy_(f.get_tensor(f"ema.{key}"))  # type: ignore[index]
    return int(step)
