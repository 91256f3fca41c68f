"""Presets: exact is exact; the others are static sampling plans that stay close to it, ignore the neighbours, and
report what is not supported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import pipeline
from engine.backends.onnx.samplers import MAKERS, later_noise
from engine.backends.pytorch import denoise as denoising
from engine.backends.pytorch.backend import TorchBackend
from engine.checkpoint.library import open_model
from engine.contract import recipe as recipes
from engine.contract.errors import BadValue
from engine.contract.request import PRESETS, SAMPLERS, ImageRequest
from engine.contract.sampling_plan import SamplingPlan, guidance_interval, legacy_plan, predictions_of, reduced_steps
from engine.models.text_encoder import Feature
from engine.sampling import presets
from engine.sampling.presets import PRESET_DEFINITIONS, Preset, sampling_plan_of
from engine.sampling.schedule import DPMSolverPP2M, Schedule

#: fewer steps and an end of guidance at once
ALL = Preset(steps=0.8, guided_to=0.6)


@pytest.fixture(scope="module")
def mini() -> TorchBackend:
    return TorchBackend(open_model("commonart-mini"), device="cpu")


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> TorchBackend:
    return TorchBackend(open_model(str(tiny_model)), device="cpu")


def ask(**settings: Any) -> ImageRequest:
    return ImageRequest(**{"prompt": "りんご、フラット調", "seed": 3, **settings})


def settled(backend: TorchBackend, requests: Sequence[ImageRequest]) -> tuple[list[ImageRequest], dict[str, Feature]]:
    found = [pipeline.settle(r, backend.folder) for r in requests]
    return found, pipeline.encode(backend, found)


def latents(backend: TorchBackend, requests: Sequence[ImageRequest], preset: Preset | None = None) -> torch.Tensor:
    return pipeline.denoise_batch(backend, *settled(backend, requests), preset=preset)


# plans ------------------------------------------------------------------------------------------------------------


def test_steps_and_intervals() -> None:
    assert [reduced_steps(n, 0.4) for n in (1, 3, 4, 8, 20, 21, 1000)] == [1, 3, 4, 4, 8, 9, 400]
    assert guidance_interval("dpm++2m", 10, 1.0) == (0, 10)
    assert guidance_interval("dpm++2m", 10, 0.6) == (0, 6)
    assert guidance_interval("heun", 4, 0.5) == (0, 4)
    assert guidance_interval("dpm++2m", 10, 0.01) == (0, 0)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_predictions_are_as_many_as_the_sampler_asks_for(sampler: str, steps: int) -> None:
    assert predictions_of(sampler, steps) == len(MAKERS[sampler](Schedule(), steps, later_noise([1])).timesteps)


def test_a_plan_goes_through_json_and_an_invalid_one_does_not() -> None:
    plan = SamplingPlan(
        preset="fast",
        sampler="heun",
        asked=20,
        steps=3,
        guided=(0, 2),
        timesteps=(999, 500, 20),
        weights="fp8",
        halves=True,
    )
    plain = plan.to_dict()
    assert (
        SamplingPlan.from_dict(plain) == plan
        and ImageRequest.from_dict(ask(preset_did=plain).to_dict()).preset_did == plain
    )
    for wrong in (
        {"steps": 21},
        {"steps": True},
        {"guided": [3, 2]},
        {"guided": [0]},
        {"guided": "ab"},
        {"timesteps": [999, 500]},
        {"timesteps": [1, 2, 3]},
        {"weights": "int2"},
        {"halves": 1},
        {"other": 1},
        {"preset": None},
        {"timesteps": [1 << 40, 1, 0]},
    ):
        with pytest.raises(BadValue):
            ask(preset_did=plain | wrong)
    for wrong_kind in ([], "x", {"steps": 3}):
        with pytest.raises(BadValue):
            ask(preset_did=wrong_kind)


def test_a_plan_of_version_0_1_0_may_mention_the_step_cache_but_not_use_it() -> None:
    plan = {"preset": "fast", "sampler": "dpm++2m", "asked": 20, "steps": 4, "guided": [0, 4]}
    unused = ask(preset="fast", preset_did=plan | {"cached": [], "blocks": [0, 0], "order": 0})
    assert SamplingPlan.from_dict(unused.preset_did) == SamplingPlan.from_dict(plan)
    for used in ([1, 2], 3, "1", None):
        with pytest.raises(BadValue, match=r"step cache, which was removed after version 0.1.0"):
            ask(preset="fast", preset_did=plan | {"cached": used, "blocks": [2, 6], "order": 1})


def test_presets_leave_out_more_and_more(mini: TorchBackend) -> None:
    assert sampling_plan_of(ask(), mini) is None and pipeline.settle(ask(), mini.folder, mini).preset_did == {}
    work = [40]
    for name in PRESETS[1:]:
        plan = sampling_plan_of(ask(preset=name), mini)
        assert plan and plan.guided[0] == 0 and plan.timesteps and not plan.halves and plan.weights == "exact"
        work.append(plan.guided[1] + plan.steps)  # rows of each image
        assert [reduced_steps(n, PRESET_DEFINITIONS[name].steps) for n in (1, 2, 3)] == [
            1,
            2,
            3,
        ]  # few steps are left as they are
    assert work == sorted(work, reverse=True) and len(set(work)) == 4
    assert mini.notes == []


# pixels -----------------------------------------------------------------------------------------------------------


def test_exact_is_the_plain_loop(tiny: TorchBackend) -> None:
    """Bit by bit what a loop of one's own gives, with nothing of presets in it."""
    requests, features = settled(tiny, [ask(steps=5), ask(prompt="cat", seed=9, steps=5, guidance=2.0)])
    x = denoising.noise([3, 9], 4, 8, 8)
    sampler = DPMSolverPP2M(Schedule.from_dict(tiny.folder.scheduler_config), 5)
    model, words = tiny._denoiser, [features[t].states for t in ("", "", *(r.prompt for r in requests))]
    with torch.inference_mode():
        captions = model.captions(words)
        for index, t in enumerate(sampler.timesteps):
            negative, positive = model(x, torch.full((1,), t), captions)[:, :4].chunk(2)
            x = sampler.step(negative + torch.tensor([4.5, 2.0]).view(2, 1, 1, 1) * (positive - negative), x, index)
    assert torch.equal(latents(tiny, requests), x)


def by_hand(
    backend: TorchBackend, request: ImageRequest, features: dict[str, Feature], plan: SamplingPlan
) -> torch.Tensor:
    """A plan in the plainest way: one image, its halves one after the other, every block by its index."""
    model = backend._denoiser
    scheduler = dataclasses.replace(Schedule.from_dict(backend.folder.scheduler_config), given=plan.timesteps)
    sampler = DPMSolverPP2M(scheduler, plan.steps)
    x = denoising.noise([request.seed], 4, 8, 8)
    for index, t in enumerate(sampler.timesteps):
        out = {}
        for text in (request.prompt, *([""] if plan.guided[0] <= index < plan.guided[1] else [])):
            captions = model.captions([features[text].states])[0]
            state = model.pos_embed.proj(x).flatten(2).transpose(1, 2) + model._positions(4, 4, x)
            embedded = model.adaln_single.emb(torch.tensor([t]), None, None)
            modulation = model.adaln_single.linear(torch.nn.functional.silu(embedded)).unflatten(-1, (6, -1))
            for n, block in enumerate(model.transformer_blocks):
                state = block(state, modulation, [captions.layer(n)])
            shift, scale = (model.scale_shift_table[None] + embedded[:, None])[:, :, None].unbind(1)
            y = model.proj_out(
                torch.addcmul(shift, torch.nn.functional.layer_norm(state, state.shape[-1:], eps=1e-6), 1 + scale)
            )
            out[text] = torch.einsum("nhwpqc->nchpwq", y.reshape(1, 4, 4, 2, 2, -1)).reshape(1, -1, 8, 8)[:, :4]
        guided = "" in out
        prediction = out[""] + request.guidance * (out[request.prompt] - out[""]) if guided else out[request.prompt]
        x = sampler.step(prediction, x, index)
    return x


@pytest.mark.parametrize("halves", [False, True])
def test_a_plan_is_what_it_says(tiny_model: Path, halves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guidance in an interval, timesteps given, micro-batches in halves: against plain loops, one picture at a time."""
    backend = TorchBackend(open_model(str(tiny_model)), device="cpu")
    if halves:
        backend.supports |= {"halves"}
    for name, p in backend._denoiser.named_parameters():  # blocks that matter
        if "scale_shift_table" in name:
            p.data.mul_(3)
    plan = SamplingPlan(
        preset="fast",
        sampler="dpm++2m",
        asked=20,
        steps=7,
        guided=(0, 4),
        timesteps=(999, 900, 700, 500, 300, 100, 30),
        halves=halves,
    )
    requests, features = settled(
        backend,
        [
            ask(prompt=p, seed=n, preset="fast", guidance=g, preset_did=plan.to_dict())
            for n, (p, g) in enumerate(
                (("cat", 4.5), ("a red apple", 7.0), ("寿司", 3.0), ("青い背景", 2.0), ("ねこ", 4.0))
            )
        ],
    )
    calls: list[int] = []
    real = denoising.Predictor.__call__
    monkeypatch.setattr(denoising.Predictor, "__call__", lambda self, *a: calls.append(self._count) or real(self, *a))
    together = pipeline.denoise_batch(backend, requests, features)
    assert calls == ([6, 4] * 4 if halves else [10] * 4) + [5] * 3
    with torch.inference_mode():
        for n, request in enumerate(requests):
            want = by_hand(backend, request, features, plan)
            torch.testing.assert_close(together[n : n + 1], want, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(pipeline.denoise_batch(backend, [request], features), want, rtol=1e-3, atol=1e-4)


def test_every_preset_stays_near(mini: TorchBackend) -> None:
    base = ask()
    exact = pipeline.decode(mini, latents(mini, [base])).astype(np.float64)
    other = pipeline.decode(mini, latents(mini, [ask(prompt="青い車", seed=4, preset="draft")])).astype(np.float64)
    far = np.mean((other - exact) ** 2)
    for name in PRESETS[1:]:  # another picture of the same thing, not another thing
        made = pipeline.decode(mini, latents(mini, [dataclasses.replace(base, preset=name)])).astype(np.float64)
        assert 0 < np.mean((made - exact) ** 2) < far / 2, name


def test_a_picture_does_not_know_its_neighbours(mini: TorchBackend) -> None:
    several = [
        ask(prompt=p, seed=n, preset="fast", guidance=g, steps=6)
        for n, (p, g) in enumerate((("猫", 4.5), ("a dog", 7.0), ("寿司", 3.0)))
    ]
    together = latents(mini, several, ALL)
    for n, one in enumerate(several):
        alone = latents(mini, [one], ALL)
        torch.testing.assert_close(alone[0], together[n], rtol=1e-3, atol=1e-3)
        assert torch.equal(
            alone, latents(mini, [one], ALL)
        )  # --deterministic: one picture alone is the same bytes each time


# what a recipe keeps ----------------------------------------------------------------------------------------------


def test_a_recipe_outlives_its_preset(tiny: TorchBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    request = pipeline.settle(ask(preset="draft"), tiny.folder, tiny)
    assert request.preset_did["steps"] == 4
    made = recipes.build(
        request,
        model="x",
        hashes={"denoiser": "0" * 64},
        backend={"backend": "pytorch", "device": "cpu", "dtype": "fp32"},
        batch=(1, 0),
        pixel_sha256="",
        app="",
    )
    first = latents(tiny, [request])
    monkeypatch.setitem(presets.PRESET_DEFINITIONS, "draft", Preset(steps=0.9))
    again = recipes.request_of(made)
    assert again.preset_did == request.preset_did and torch.equal(latents(tiny, [again]), first)
    assert not torch.equal(latents(tiny, [ask(preset="draft")]), first)
    changed = pipeline.settle(
        dataclasses.replace(again, steps=30), tiny.folder, tiny
    )  # no longer what was made: today's definition
    assert changed.preset_did["steps"] == 27 and again.batch_key != ask(preset="draft").batch_key


def test_recipes_of_before_stand_for_what_they_did(tiny: TorchBackend) -> None:
    request = pipeline.settle(ask(preset="fast"), tiny.folder, tiny)
    made = recipes.build(
        request,
        model="x",
        hashes={"denoiser": "0" * 64},
        backend={"backend": "pytorch", "device": "cpu", "dtype": "fp32"},
        batch=(1, 0),
        pixel_sha256="",
        app="",
    )
    del made["request"]["preset_did"]
    assert (
        recipes.request_of(made).preset_did
        == {"preset": "fast", "sampler": "dpm++2m", "asked": 20, "steps": 8, "guided": [0, 6]}
        == legacy_plan("fast", "dpm++2m", 20)
    )
    made["request"]["preset"] = "exact"
    assert recipes.request_of(made).preset_did == {}


# what cannot be done ----------------------------------------------------------------------------------------------


def noted(backend: TorchBackend, request: ImageRequest, preset: Preset) -> tuple[SamplingPlan, list[str]]:
    backend.notes.clear()
    plan = sampling_plan_of(request, backend, preset)
    sampling_plan_of(request, backend, preset)  # each is said once
    assert plan is not None
    found = [str(n) for n in backend.notes]
    backend.notes.clear()
    return plan, found


def test_what_cannot_be_done_is_left_as_in_exact_and_said(
    mini: TorchBackend, tiny: TorchBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, fitted = ask(preset="fast"), Preset(steps=0.4, fitted=True)
    assert noted(mini, request, fitted)[1] == []
    plan, said = noted(tiny, request, fitted)  # it predicts noise, for which none were fitted
    assert plan.timesteps == () and said == [
        "The preset fast has no timesteps fitted for the noise schedule of tiny; the usual ones are used"
    ]
    for sampler in ("pndm", "euler"):  # one that needs equal strides, one that was not fitted for
        plan, said = noted(mini, ask(preset="fast", sampler=sampler), fitted)
        assert plan.timesteps == () and said == [
            f"The preset fast has timesteps of its own; the sampler {sampler} keeps its usual ones"
        ]
    want = latents(tiny, [request], ALL)
    monkeypatch.setattr(tiny, "supports", frozenset())  # as the fake backend, whose predictors cannot follow a plan
    assert torch.equal(latents(tiny, [request], ALL), want)
    tiny.notes.clear()


def test_a_plan_from_another_machine_is_followed_as_far_as_it_goes(tiny: TorchBackend) -> None:
    given = SamplingPlan(
        preset="fast",
        sampler="dpm++2m",
        asked=20,
        steps=4,
        guided=(0, 4),
        timesteps=(5000, 900, 20, 1),
        weights="fp8",
        halves=True,
    )
    plan, said = noted(tiny, ask(preset="fast", preset_did=given.to_dict()), Preset(steps=0.4))
    assert plan == dataclasses.replace(given, timesteps=(), weights="exact", halves=False)
    assert len(said) == 2 and "graphics card" in said[1]
    assert bool(torch.isfinite(latents(tiny, [ask(preset="fast", preset_did=given.to_dict())])).all())
    tiny.notes.clear()


def test_freed_rows_are_filled_by_larger_micro_batches(tiny: TorchBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    request = ask(preset="fast")
    monkeypatch.setitem(presets.PRESET_DEFINITIONS, "fast", Preset(guided_to=0.5))
    assert pipeline.can_batch(request, tiny, 8) == 8  # a CPU wants no more rows
    monkeypatch.setattr(tiny, "supports", tiny.supports | {"halves"})
    assert pipeline.can_batch(request, tiny, 8) == 16 and pipeline.can_batch(ask(), tiny, 8) == 8
    assert pipeline.can_batch(dataclasses.replace(request, guidance=1), tiny, 8) == 8
