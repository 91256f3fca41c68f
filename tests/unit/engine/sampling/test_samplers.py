"""The samplers draw what diffusers' schedulers draw, and no picture knows of its neighbours' chance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.backends.pytorch.backend import TorchBackend
from engine.backends.pytorch.denoise import noise
from engine.backends.pytorch.samplers import DIFFUSERS_SCHEDULERS, build_sampler
from engine.checkpoint.library import open_model
from engine.contract.request import SAMPLERS, ImageRequest
from engine.pipeline import decode, denoise, denoise_batch, encode, settle
from engine.sampling.schedule import LMS, DPMSolverPP2M, Schedule

STEPS = (1, 2, 5, 14, 15, 20, 50)
STOCHASTIC = ("dpm++2m-sde", "euler-a")


def model(x: Tensor, t: float) -> Tensor:
    """A stand-in for the denoiser that is smooth in both: enough to tell two samplers apart."""
    return torch.tanh(x * (1 + t / 1000) + 0.1) + 0.2 * x.roll(1, -1)


def reference(scheduler: Any, steps: int, start: Tensor, **extra: Any) -> Tensor:
    """The loop of diffusers' pipelines."""
    scheduler.set_timesteps(steps)
    x = start * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = scheduler.step(model(scheduler.scale_model_input(x, t), float(t)), t, x, return_dict=False, **extra)[0]
    return x


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
@pytest.mark.parametrize("beta", ["linear", "squaredcos_cap_v2"])
def test_dpm_solver_equals_diffusers(prediction: str, spacing: str, beta: str) -> None:
    from diffusers import DPMSolverMultistepScheduler

    config = {
        "prediction_type": prediction,
        "timestep_spacing": spacing,
        "beta_schedule": beta,
        "steps_offset": int(spacing == "leading"),
    }
    start = noise([3, 4], 4, 6, 6)
    for steps in STEPS:
        scheduler = DPMSolverMultistepScheduler(**config)
        want = reference(scheduler, steps, start)
        sampler = DPMSolverPP2M(Schedule.from_dict(config), steps)
        assert sampler.timesteps == [float(t) for t in scheduler.timesteps]
        assert len(sampler.timesteps) == steps
        got = denoise(model, sampler, start)
        # A schedule that begins at almost no signal divides by it: rounding is of the size of the largest value.
        atol = 1e-4 * max(1.0, float(want.abs().max()))
        torch.testing.assert_close(got, want, rtol=1e-4, atol=atol, msg=lambda m, s=steps: f"{s} steps: {m}")


@pytest.mark.parametrize("spacing", ["linspace", "trailing", "leading"])
@pytest.mark.parametrize("steps", [400, 998, 999, 1000])
def test_as_many_steps_as_there_are_levels(steps: int, spacing: str) -> None:
    """Two steps may then round to one level: nothing lies between them, and nothing may be divided by that."""
    x = noise([1], 4, 6, 6)
    sampler = DPMSolverPP2M(Schedule(timestep_spacing=spacing), steps)
    for i in range(steps):
        x = sampler.step(torch.tanh(x), x, i)
    assert bool(torch.isfinite(x).all())


@pytest.mark.parametrize("steps", [3, 20])
def test_dpm_solver_step_by_step(steps: int) -> None:
    """Not only the end, which a contracting solver reaches from many wrong ways."""
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler()
    scheduler.set_timesteps(steps)
    sampler = DPMSolverPP2M(Schedule(), steps)
    x = mine = noise([7], 4, 6, 6)
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(model(x, float(t)), t, x, return_dict=False)[0]
        mine = sampler.step(model(mine, float(t)), mine, i)
        torch.testing.assert_close(mine, x, rtol=1e-5, atol=1e-5, msg=lambda m, i=i: f"step {i}: {m}")


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("count", [1000, 100])
def test_schedules_equal_diffusers(kind: str, count: int) -> None:
    from diffusers import DPMSolverMultistepScheduler

    config = {"beta_schedule": kind, "num_train_timesteps": count, "beta_start": 0.00085, "beta_end": 0.012}
    want = DPMSolverMultistepScheduler(**config).alphas_cumprod.double().numpy()
    got = Schedule.from_dict(config | {"_class_name": "x", "steps_offset": None}).alphas_cumprod()
    assert got.shape == (count,)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-9)
    assert (np.diff(got) < 0).all()


def test_defaults_are_those_of_diffusers() -> None:
    from diffusers import DPMSolverMultistepScheduler

    theirs = DPMSolverMultistepScheduler().config
    for name in set(Schedule.__dataclass_fields__) - {"given"}:  # timesteps of our own choosing
        assert getattr(Schedule(), name) == theirs[name], name


@pytest.mark.parametrize(
    ("key", "value"), [("beta_schedule", "sigmoid"), ("timestep_spacing", "random"), ("prediction_type", "flow")]
)
def test_unknown_settings_are_refused(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=value):
        DPMSolverPP2M(Schedule.from_dict({key: value}), 4)


def test_every_name_has_a_sampler() -> None:
    assert set(SAMPLERS) == {"dpm++2m", "lms", *DIFFUSERS_SCHEDULERS}


@pytest.mark.parametrize("name", sorted(DIFFUSERS_SCHEDULERS))
@pytest.mark.parametrize("beta", ["linear", "scaled_linear"])
def test_zoo_equals_diffusers_with_its_noise(name: str, beta: str) -> None:
    """Also in the order of the noise: diffusers draws the start and every later noise from one generator a picture."""
    import diffusers

    class_name, options = DIFFUSERS_SCHEDULERS[name]
    config = {"beta_schedule": beta, "beta_start": 1e-4, "beta_end": 0.02}
    seeds = [11, 12, 13]
    generators = [torch.Generator().manual_seed(s) for s in seeds]
    start = torch.cat([torch.randn(1, 4, 6, 6, generator=g) for g in generators])
    extra = {"generator": generators} if name in STOCHASTIC else {}
    want = reference(getattr(diffusers, class_name)(**config, **options), 9, start, **extra)
    got = denoise(model, build_sampler(name, 9, Schedule.from_dict(config), seeds, config), noise(seeds, 4, 6, 6))
    torch.testing.assert_close(got, want, rtol=0, atol=0)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_lms_equals_diffusers(prediction: str) -> None:
    pytest.importorskip("scipy", reason="diffusers' LMS needs SciPy, ours does not")
    from diffusers import LMSDiscreteScheduler

    config = {"prediction_type": prediction}
    start = noise([3, 4], 4, 6, 6)
    for steps in STEPS:
        want = reference(LMSDiscreteScheduler(**config), steps, start)
        torch.testing.assert_close(
            denoise(model, LMS(Schedule.from_dict(config), steps), start), want, rtol=1e-3, atol=1e-3
        )


def test_lms_weights_integrate_what_they_should() -> None:
    """Order 4 is exact for slopes that are cubic in the noise level, and the weights of a step add up to its length."""
    sampler = LMS(Schedule(), 8)
    s = sampler._sigmas
    for i in range(3, 8):
        weights = [sampler._weight(4, i, j) for j in range(4)]
        for power in range(4):
            exact = (s[i + 1] ** (power + 1) - s[i] ** (power + 1)) / (power + 1)
            assert sum(w * s[i - j] ** power for j, w in enumerate(weights)) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_perfect_model_is_followed_home(name: str, prediction: str) -> None:
    """Given the true noise of one picture at every step, every sampler must end at that picture."""
    schedule = Schedule.from_dict({"prediction_type": prediction})
    bar = schedule.alphas_cumprod()
    truth = torch.linspace(-1, 1, 4 * 36).reshape(1, 4, 6, 6)
    places = np.arange(len(bar))

    def perfect(x: Tensor, t: float) -> Tensor:
        a = float(np.interp(t, places, bar)) ** 0.5
        s = (1 - a * a) ** 0.5
        eps = (x - a * truth) / s
        return eps if prediction == "epsilon" else a * eps - s * truth

    got = denoise(perfect, build_sampler(name, 20, schedule, [1], {}), noise([1], 4, 6, 6))
    assert float((got - truth).abs().max()) < (0.2 if name in ("ddim", "pndm", "lms") else 0.1)


@pytest.fixture(scope="module")
def tiny(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> TorchBackend:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMMONART_HOME", str(tmp_path_factory.mktemp("home")))
        return TorchBackend(open_model(str(tiny_model)), device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def make(tiny: TorchBackend) -> Callable[..., Tensor]:
    def inner(*seeds: int, **settings: Any) -> Tensor:
        requests = [
            settle(
                ImageRequest(prompt=f"りんご {s}", seed=s, **{"width": 32, "height": 32, "steps": 6} | settings),
                tiny.folder,
            )
            for s in seeds
        ]
        return denoise_batch(tiny, requests, encode(tiny, requests))

    return inner


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 6])
def test_every_sampler_draws(tiny: TorchBackend, make: Callable[..., Tensor], name: str, steps: int) -> None:
    latents = make(1, 2, sampler=name, steps=steps)
    assert bool(torch.isfinite(latents).all())
    pixels = decode(tiny, latents)
    assert pixels.shape == (2, 32, 32, 3)
    assert pixels.dtype == np.uint8
    assert not (pixels[0] == pixels[1]).all()


def test_samplers_differ(make: Callable[..., Tensor]) -> None:
    made = {name: make(1, sampler=name) for name in SAMPLERS}
    for a in SAMPLERS:
        for b in SAMPLERS:
            assert a == b or not torch.allclose(made[a], made[b], atol=1e-4), (a, b)


@pytest.mark.parametrize("name", SAMPLERS)
def test_neighbours_do_not_change_a_picture(make: Callable[..., Tensor], name: str) -> None:
    together = make(5, 6, 7, sampler=name)
    for i, seed in enumerate((5, 6, 7)):
        torch.testing.assert_close(make(seed, sampler=name)[0], together[i], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_added_noise_is_not_the_first_noise(name: str) -> None:
    """The generator goes on from where the start left it; drawing the start again would repeat it."""
    start, zero = noise([1], 4, 6, 6), torch.zeros(1, 4, 6, 6)
    sampler = build_sampler(name, 4, Schedule(), [1], {})
    added = sampler.step(zero, zero, 0).flatten()
    assert added.std() > 0
    assert abs(float(torch.corrcoef(torch.stack([added, start.flatten()]))[0, 1])) < 0.5
