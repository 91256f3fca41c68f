"""Given timesteps: drawn as the usual ones are, looked up by noise, and fitted by what they are for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.fit_schedule import falling, fit, starts
from engine.backends.onnx.samplers import MAKERS, later_noise
from engine.backends.pytorch.denoise import noise
from engine.backends.pytorch.samplers import GIVEN_TIMESTEPS, build_sampler
from engine.contract.paths import resources
from engine.pipeline import denoise
from engine.sampling.fitted_timesteps import ACCEPTING_SAMPLERS, NOISE, find, installed, read
from engine.sampling.schedule import LMS, DPMSolverPP2M, Schedule
from engine.sampling.sigma_samplers import spaced_timesteps


def model(x: Any, t: float) -> Any:
    """A stand-in for the denoiser, smooth in both."""
    return (
        torch.tanh(torch.as_tensor(x) * (1 + t / 1000) + 0.1)
        if isinstance(x, Tensor)
        else np.tanh(x * (1 + t / 1000) + 0.1)
    )


def usual(name: str, schedule: Schedule, steps: int) -> tuple[int, ...]:
    """Whole timesteps that the sampler would take anyway."""
    if name in ("euler", "heun", "ddim"):
        return tuple(int(t) for t in spaced_timesteps(schedule, steps, rounded=True))
    return tuple(int(t) for t in schedule.timesteps(steps))


@pytest.mark.parametrize("name", [n for n in ACCEPTING_SAMPLERS if n != "lms"])
def test_given_as_the_usual_ones_they_draw_the_usual_picture(name: str) -> None:
    plain = Schedule(timestep_spacing="leading")
    given = Schedule(timestep_spacing="leading", given=usual(name, plain, 6))
    start = noise([3, 4], 4, 4, 4)
    want, got = (denoise(model, MAKERS[name](s, 6, later_noise([3, 4])), start.numpy()) for s in (plain, given))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    torched = denoise(model, build_sampler(name, 6, given, [3, 4], {}), start)
    np.testing.assert_allclose(torched.numpy(), want, rtol=1e-4, atol=1e-4)


def test_every_sampler_that_takes_them_uses_them() -> None:
    given = Schedule(given=(999, 800, 300, 50))
    start = noise([3], 4, 4, 4)
    for name in ACCEPTING_SAMPLERS:
        made = build_sampler(name, 4, given, [3], {})
        assert [t for n, t in enumerate(made.timesteps) if n == 0 or t != made.timesteps[n - 1]] == [
            999,
            800,
            300,
            50,
        ], name
        assert (
            bool(torch.isfinite(denoise(model, made, start)).all())
            and list(MAKERS[name](given, 4, later_noise([3])).timesteps) == made.timesteps
        )
    assert set(GIVEN_TIMESTEPS) | {"dpm++2m", "lms"} == set(ACCEPTING_SAMPLERS)
    for wrong in ((1000, 5), (5,), (999, 800, 300, 50, 1)):
        with pytest.raises(ValueError, match="timesteps"):
            Schedule(given=wrong).timesteps(2)
    assert Schedule.from_dict({"given": [1, 2]}).given == ()  # a model's config cannot give any


def test_dpm_solver_over_given_timesteps_equals_diffusers() -> None:
    from diffusers import DPMSolverMultistepScheduler

    at = [999, 880, 610, 420, 130, 17]
    scheduler = DPMSolverMultistepScheduler(prediction_type="v_prediction")
    scheduler.set_timesteps(timesteps=at)
    x = mine = noise([7], 4, 6, 6)
    sampler = DPMSolverPP2M(Schedule(prediction_type="v_prediction", given=tuple(at)), 6)
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(model(x, float(t)), t, x, return_dict=False)[0]
        mine = sampler.step(model(mine, sampler.timesteps[i]), mine, i)
        torch.testing.assert_close(mine, x, rtol=1e-4, atol=1e-4)


def test_lms_over_given_levels_is_exact_for_a_straight_line() -> None:
    sampler = LMS(Schedule(given=(900, 500, 100)), 3)
    first, second, third, _ = (float(s) for s in sampler._sigmas)
    x = sampler.step(
        second, sampler.step(first, 0.0, 0), 1
    )  # the slope is the level itself: after the first step its integral is exact
    assert x == pytest.approx((second - first) * first + (third**2 - second**2) / 2, rel=1e-6)


def written(folder: Path, name: str = "a.json", **changes: Any) -> Path:
    noise = {k: getattr(Schedule(), k) for k in NOISE}
    data = {
        "format": 1,
        "noise": noise,
        "sampler": "dpm++2m",
        "fitted_on": {"denoiser": "aa"},
        "steps": {
            "4": {"timesteps": [999, 700, 400, 100]},
            "8": {"timesteps": [999, 900, 800, 600, 400, 200, 100, 50]},
        },
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(data), encoding="utf-8")
    return folder / name


def test_timesteps_are_found_by_noise_and_then_by_weights(own_home: Path) -> None:
    mine = own_home / "schedules"
    written(mine)
    assert find(Schedule(), "bb", "dpm++2m", 4) == (999, 700, 400, 100)
    assert (
        find(Schedule(), "bb", "dpm++2m", 3)
        == ()
        == find(Schedule(), "bb", "dpm++2m", 9)
        == find(Schedule(), "bb", "euler-a", 4)
    )
    between = find(Schedule(), "bb", "dpm++2m", 6)
    assert (
        len(between) == 6 and between[0] == 999 and falling(between) and between[3] == 400
    )  # half of the way of eight
    assert (
        find(Schedule(), "bb", "unipc", 4) == (999, 700, 400, 100) and find(Schedule(), "bb", "euler", 4) == ()
    )  # what serves one solver may harm another
    assert find(Schedule(beta_end=0.03), "bb", "dpm++2m", 4) == ()
    written(mine, "b.json", fitted_on={"denoiser": "bb"}, steps={"4": {"timesteps": [998, 3, 2, 1]}})
    assert find(Schedule(), "bb", "dpm++2m", 4) == (998, 3, 2, 1) and find(Schedule(), "cc", "dpm++2m", 4) == (
        999,
        700,
        400,
        100,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"noise": []},
        {"steps": {}},
        {"steps": []},
        {"sampler": 3},
        {"steps": {"2": {"timesteps": [5, 5]}}},
        {"steps": {"2": {"timesteps": [1000, 5]}}},
        {"steps": {"2": {"timesteps": [7]}}},
        {"steps": {"x": {"timesteps": [7]}}},
        {"steps": {"1": [7]}},
        {"steps": {"1": {"timesteps": [7.5]}}},
        {"noise": {}},
    ],
    ids=str,
)
def test_broken_files_are_as_none(own_home: Path, changes: dict[str, Any]) -> None:
    path = written(own_home / "schedules", **changes)
    with pytest.raises(ValueError):
        read(path)
    (own_home / "schedules" / "b.json").write_text("[" * 5000, encoding="utf-8")
    assert [f.denoiser for f in installed()] == [
        f.denoiser for f in map(read, sorted((resources() / "presets" / "schedules").glob("*.json")))
    ]


def test_the_programs_own_files_are_whole_and_better_than_the_usual_spacing() -> None:
    files = sorted((resources() / "presets" / "schedules").glob("*.json"))
    assert files
    for path in files:
        found, data = read(path), json.loads(path.read_text(encoding="utf-8"))
        assert {4, 6, 10} <= set(found.steps) and "unfinished" not in data
        assert all(one["db"] > one["usual_db"] for n, one in data["steps"].items())


def test_fitting_finds_what_is_nearest() -> None:
    """Against a measure whose best answer is known."""
    want = np.array([999, 811, 402, 77])
    seen: list[Sequence[int]] = []

    def value(timesteps: tuple[int, ...]) -> float:
        return -float(((np.array(timesteps) - want) ** 2).sum())

    begin = max(starts(4, 999, (999, 900, 700, 500, 300, 100)), key=value)
    found, best = fit(value, begin, (48, 24, 12, 6, 1), lambda timesteps, move, best: seen.append(timesteps))
    assert found == tuple(want) and best == 0 and seen[-1] == found and falling(found)
    assert fit(value, tuple(seen[2]), (12, 6, 1), lambda *_: None)[0] == found  # gone on with from the middle
