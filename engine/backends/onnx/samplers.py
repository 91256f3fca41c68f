"""All samplers by name, on numpy: nothing here needs PyTorch or diffusers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from engine.backends.onnx.noise import Floats, Normal
from engine.sampling.multistep_samplers import DEIS, DPMSolverPP, UniPC
from engine.sampling.schedule import LMS, DPMSolverPP2M, Sampler, Schedule
from engine.sampling.sigma_samplers import DDIM, PNDM, Draw, Euler, EulerAncestral, Heun

Maker = Callable[[Schedule, int, Draw], Sampler]
MAKERS: dict[str, Maker] = {
    "dpm++2m": lambda schedule, steps, draw: DPMSolverPP2M(schedule, steps),
    "dpm++2m-karras": lambda schedule, steps, draw: DPMSolverPP(schedule, steps, spaced=True),
    "dpm++2m-sde": lambda schedule, steps, draw: DPMSolverPP(schedule, steps, draw=draw),
    "dpm++3m": lambda schedule, steps, draw: DPMSolverPP(schedule, steps, order=3),
    "unipc": lambda schedule, steps, draw: UniPC(schedule, steps),
    "euler": lambda schedule, steps, draw: Euler(schedule, steps),
    "euler-a": EulerAncestral,
    "heun": lambda schedule, steps, draw: Heun(schedule, steps),
    "ddim": lambda schedule, steps, draw: DDIM(schedule, steps),
    "deis": lambda schedule, steps, draw: DEIS(schedule, steps),
    "lms": lambda schedule, steps, draw: LMS(schedule, steps),
    "pndm": lambda schedule, steps, draw: PNDM(schedule, steps),
}
LEADING = ("ddim", "pndm")  # their diffusers schedulers take this spacing where a config names none


def later_noise(seeds: Sequence[int]) -> Draw:
    """Noise added on the way: each image's generator continues after its initial noise."""
    generators = [Normal(s) for s in seeds]
    begun = False

    def draw(shape: Sequence[int]) -> Floats:
        nonlocal begun
        if not begun:
            begun = True
            for generator in generators:
                generator.draw((1, *shape[1:]))
        return np.concatenate([generator.draw((1, *shape[1:])) for generator in generators])

    return draw


def build_sampler(name: str, steps: int, schedule: Schedule, seeds: Sequence[int], config: dict[str, Any]) -> Sampler:
    """A fresh sampler for one micro-batch.

    Raises:
        ValueError: the model's scheduler config asks for something unknown.
    """
    if name in LEADING and config.get("timestep_spacing") is None:
        schedule = replace(schedule, timestep_spacing="leading")
    return MAKERS[name](schedule, steps, later_noise(seeds))
