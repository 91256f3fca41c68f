"""Samplers by name: the default one and LMS are ours (no import of diffusers, no SciPy), the others diffusers'
schedulers.

Where timesteps are given, all are ours: diffusers supports that for some schedulers only. The two differ by rounding,
so both are kept for recipes of either kind: see docs/decisions.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from engine.sampling.multistep_samplers import DEIS, DPMSolverPP, UniPC
from engine.sampling.schedule import LMS, DPMSolverPP2M, Sampler, Schedule
from engine.sampling.sigma_samplers import DDIM, Euler, Heun

#: sampler name -> (diffusers class, its options)
DIFFUSERS_SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "dpm++2m-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpm++2m-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpm++3m": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False}),
    "deis": ("DEISMultistepScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
}

#: our samplers over given timesteps
GIVEN_TIMESTEPS: dict[str, Callable[[Schedule, int], Sampler]] = {
    "dpm++3m": lambda schedule, steps: DPMSolverPP(schedule, steps, order=3),
    "unipc": UniPC,
    "euler": Euler,
    "heun": Heun,
    "ddim": DDIM,
    "deis": DEIS,
}


class DiffusersSampler:
    """A diffusers scheduler as a ``Sampler``. Noise added on the way comes from one CPU generator per image."""

    def __init__(self, name: str, steps: int, schedule: Schedule, seeds: Sequence[int], config: dict[str, Any]) -> None:
        import diffusers

        class_name, options = DIFFUSERS_SCHEDULERS[name]
        parameters = inspect.signature(getattr(diffusers, class_name).__init__).parameters
        # the model's own spacing, as diffusers' ``from_config`` passes it from one scheduler to another
        options = {
            k: config[k] for k in ("timestep_spacing", "steps_offset") if config.get(k) is not None and k in parameters
        } | options
        base = {
            "num_train_timesteps": schedule.num_train_timesteps,
            "beta_start": schedule.beta_start,
            "beta_end": schedule.beta_end,
            "beta_schedule": schedule.beta_schedule,
            "prediction_type": schedule.prediction_type,
        }
        self._scheduler = getattr(diffusers, class_name)(**base, **options)
        self._scheduler.set_timesteps(steps)
        self.timesteps = [float(t) for t in self._scheduler.timesteps]
        self.initial_scale = float(getattr(self._scheduler, "init_noise_sigma", 1.0))
        self._generators = [torch.Generator("cpu").manual_seed(s) for s in seeds]
        accepted = self._scheduler.step.__code__.co_varnames[: self._scheduler.step.__code__.co_argcount]
        self._extra = {"generator": self._generators} if "generator" in accepted else {}

    def scale(self, latents: Any, index: int) -> Any:
        return self._scheduler.scale_model_input(latents, self._scheduler.timesteps[index])

    def step(self, prediction: Any, latents: Any, index: int) -> Any:
        if index == 0:  # diffusers continues with the generator that drew the first noise: skip that part
            for generator in self._generators:
                torch.randn((1, *latents.shape[1:]), generator=generator)
        return self._scheduler.step(
            prediction, self._scheduler.timesteps[index], latents, return_dict=False, **self._extra
        )[0]


def build_sampler(name: str, steps: int, schedule: Schedule, seeds: Sequence[int], config: dict[str, Any]) -> Sampler:
    """A new sampler for one micro-batch.

    Raises:
        ValueError: the model's scheduler config is not supported.
    """
    if name == "dpm++2m":
        return DPMSolverPP2M(schedule, steps)
    if name == "lms":
        return LMS(schedule, steps)
    if schedule.given:
        return GIVEN_TIMESTEPS[name](schedule, steps)
    return DiffusersSampler(name, steps, schedule, seeds, config)
