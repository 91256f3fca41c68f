"""What is learned: losses, weights, optimisers and LoRA against their definitions.

And what a run does when things go wrong.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.backends.pytorch.load import load_denoiser
from engine.checkpoint.layout import identify
from engine.checkpoint.library import open_model
from engine.checkpoint.lora import open_lora
from engine.contract import training_events as events
from engine.contract.errors import (
    BadConfig,
    FeatureMissing,
    GateClosed,
    NoRoom,
    RunDiffers,
    RunExists,
    TooFewPictures,
    TrainingDiverged,
    TrainingMemory,
)
from engine.sampling.schedule import Schedule
from tests.support.training_runs import losses, make_world, train
from trainer import config as c
from trainer.learn import optim
from trainer.learn.loss import Objective, min_snr
from trainer.learn.train_step import TrainStep
from trainer.learn.trainable import match_layers
from trainer.learn.validation import overfits

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("learn"))


@pytest.fixture(autouse=True)
def shared_home(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONART_HOME", str(world / "home"))


# the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_targets_are_diffusers(prediction: str) -> None:
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(beta_schedule="linear", beta_start=1e-4, beta_end=0.02, prediction_type=prediction)
    ours = Objective(Schedule(prediction_type=prediction), c.Loss(min_snr=0.0))
    noise = torch.Generator().manual_seed(0)
    x, e, t = (
        torch.randn(3, 4, 8, 8, generator=noise),
        torch.randn(3, 4, 8, 8, generator=noise),
        torch.tensor([0, 400, 999]),
    )
    noisy, target = ours.noised(x, e, t)
    assert torch.allclose(noisy, theirs.add_noise(x, e, t), atol=1e-5)
    want = {"epsilon": e, "v_prediction": theirs.get_velocity(x, e, t), "sample": x}[prediction]
    assert torch.allclose(target, want, atol=1e-5)


def test_min_snr_weights_are_one_loss_in_three_units() -> None:
    bar = Schedule().alphas_cumprod()
    snr = bar / (1 - bar)
    want = np.minimum(snr, 5)  # on the clean picture
    assert np.allclose(min_snr(bar, 5, "sample"), want)
    # an error d of the clean picture is an error d * a / s of the noise, and d / s of v
    assert np.allclose(min_snr(bar, 5, "epsilon") * bar / (1 - bar), want)
    assert np.allclose(min_snr(bar, 5, "v_prediction") / (1 - bar), want)
    assert (min_snr(bar, 0, "epsilon") == 1).all()


def test_learned_variance_takes_no_part() -> None:
    ours = Objective(Schedule(), c.Loss())
    out = torch.randn(2, 8, 4, 4, requires_grad=True)
    each = ours.each(out, torch.zeros(2, 4, 4, 4), torch.tensor([10, 900]))
    assert each.shape == (2,)
    each.sum().backward()
    assert out.grad is not None and (out.grad[:, 4:] == 0).all() and (out.grad[:, :4] != 0).any()


def test_timesteps() -> None:
    from trainer.learn.data.counter_rng import ROW, stream

    def mean(**options: Any) -> tuple[float, int, int]:
        o = Objective(Schedule(), c.Loss(**options))
        drawn = [o.timestep(stream(0, ROW, n)) for n in range(4000)]
        return float(np.mean(drawn)), min(drawn), max(drawn)

    middle, low, high = mean()
    assert abs(middle - 499.5) < 15 and low < 5 and high > 994
    middle, low, high = mean(timesteps="logit-normal", mean=1.0, std=0.5)
    assert abs(middle - 720) < 15 and low >= 0 and high <= 999


# optimisers -------------------------------------------------------------------------------------------------------


def test_rates() -> None:
    cosine = c.Schedule(kind="cosine", warmup=4, floor=0.1)
    assert [optim.rate(s, 100, cosine) for s in (0, 1, 3)] == pytest.approx([0.25 * 1.0, 0.5, 1.0], rel=5e-3)
    assert optim.rate(100, 100, cosine) == pytest.approx(0.1)
    assert optim.rate(50, 100, cosine) == pytest.approx(0.55)
    assert optim.rate(50, 100, c.Schedule(kind="linear", warmup=0)) == pytest.approx(0.5)
    assert optim.rate(99, 100, c.Schedule(kind="constant", warmup=0)) == 1.0


def test_came_follows_its_paper() -> None:
    """Algorithm 2 of arXiv 2307.02047 written out with numpy, two steps on a matrix."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(3, 5))
    p = torch.nn.Parameter(torch.tensor(theta, dtype=torch.float64).float())
    opt = optim.CAME([p], lr=0.1, weight_decay=0.2)
    b1, b2, b3, e1, e2 = 0.9, 0.999, 0.9999, 1e-30, 1e-16
    r, k, rr, kk, m = np.zeros(3), np.zeros(5), np.zeros(3), np.zeros(5), np.zeros((3, 5))
    for _ in range(2):
        g = rng.normal(size=(3, 5))
        p.grad = torch.tensor(g).float()
        opt.step()
        square = g**2 + e1
        r, k = b2 * r + (1 - b2) * square.mean(1), b2 * k + (1 - b2) * square.mean(0)
        u = g / np.sqrt(np.outer(r, k) / r.mean())
        u /= max(1, np.sqrt((u**2).mean()))
        m = b1 * m + (1 - b1) * u
        unsure = (u - m) ** 2 + e2
        rr, kk = b3 * rr + (1 - b3) * unsure.mean(1), b3 * kk + (1 - b3) * unsure.mean(0)
        theta = theta * (1 - 0.1 * 0.2) - 0.1 * m / np.sqrt(np.outer(rr, kk) / rr.mean())
    assert np.allclose(p.detach().numpy(), theta, rtol=1e-4)


def test_optimisers_learn_and_come_back_exactly() -> None:
    for name in ("adamw", "came"):

        def fresh(name: str = name) -> tuple[dict[str, torch.nn.Parameter], torch.optim.Optimizer]:
            torch.manual_seed(0)
            named = dict(torch.nn.Linear(4, 3).named_parameters())
            return named, optim.build_optimiser(list(named.values()), c.Optimiser(name=name, lr=1e-2), CPU)

        def steps(named: dict[str, torch.nn.Parameter], opt: torch.optim.Optimizer, n: int) -> None:
            for _ in range(n):
                opt.zero_grad()
                sum(((p - 1) ** 2).sum() for p in named.values()).backward()
                opt.step()

        a, opt_a = fresh()
        start = sum(float(((p.detach() - 1) ** 2).sum()) for p in a.values())
        steps(a, opt_a, 3)
        tensors, plain = optim.state_of(opt_a, {p: n for n, p in a.items()})
        tensors = {k: v.clone() for k, v in tensors.items()}
        weights = {n: p.detach().clone() for n, p in a.items()}
        steps(a, opt_a, 3)
        assert sum(float(((p.detach() - 1) ** 2).sum()) for p in a.values()) < start
        b, opt_b = fresh()
        with torch.no_grad():
            for n, p in b.items():
                p.copy_(weights[n])
        optim.restore(opt_b, b, tensors, json.loads(json.dumps(plain)))
        steps(b, opt_b, 3)
        assert all(torch.equal(a[n], b[n]) for n in a), name


def test_eight_bit_adamw_says_what_it_needs() -> None:
    with pytest.raises(FeatureMissing, match="NVIDIA"):
        optim.build_optimiser([torch.nn.Parameter(torch.zeros(2))], c.Optimiser(name="adamw8bit"), CPU)


def test_averaged_weights() -> None:
    p = torch.nn.Parameter(torch.zeros(3))
    average = optim.Ema({"p": p}, 0.9)
    want = 0.0
    for step in range(40):
        with torch.no_grad():
            p.fill_(step + 1.0)
        average.update(step)
        d = min(0.9, (1 + step) / (10 + step))
        want = d * want + (1 - d) * (step + 1)
    average.swap()
    assert p.tolist() == pytest.approx([want] * 3)
    average.swap()
    assert p.tolist() == [40.0] * 3


def test_overfit_alarm() -> None:
    falling = [(n, 1.0 - n / 20, 1.0 - n / 20) for n in range(6)]
    rising = [(n, 1.0 - n / 20, 0.7 + n / 20) for n in range(6)]
    both = [(n, 0.7 + n / 20, 0.7 + n / 20) for n in range(6)]
    assert not overfits(falling, 5) and overfits(rising, 5) and not overfits(both, 5) and not overfits(rising[:4], 5)


# LoRA -------------------------------------------------------------------------------------------------------------


def predicted(model: Any) -> torch.Tensor:
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        captions = model.captions([torch.randn(5, 32, generator=noise)])
        return model(torch.randn(1, 4, 8, 8, generator=noise), torch.tensor([500.0]), captions)


def test_a_lora_learns_and_draws_as_it_was_trained(world: Path) -> None:
    told, trainer = train(
        world,
        "lora",
        "lora.alpha=8.0",
        "lora.layers=['*.attn1.to_q', '*.ff.net.2', 'proj_out']",
        "schedule.steps=20",
        "optimiser.lr=3e-2",
        "previews.prompts=['a red circle']",
        "previews.every=10",
        "previews.steps=2",
        "lora.trigger=zaq",
        "log.tensorboard=true",
    )
    found = [e.loss for e in told if isinstance(e, events.HeldoutLoss)]
    assert found[-1] < 0.9 * found[0]  # on pictures it never saw
    finished = told[-1]
    assert isinstance(finished, events.Finished)
    folder = identify(world / "tiny")
    lora = open_lora(finished.path, 1.0, folder)
    assert len(lora.layers) == 5 and not lora.strange
    for merged in (True, False):
        assert torch.allclose(
            predicted(load_denoiser(folder, CPU, torch.float32, [lora], merged)),
            predicted(trainer.train_state.model.dit.eval()),
            atol=1e-5,
        )
    assert not torch.allclose(
        predicted(load_denoiser(folder, CPU, torch.float32)), predicted(trainer.train_state.model.dit), atol=1e-2
    )
    # the chain: what it was taught on is in the file
    report = json.loads((world / "lora" / "gate-report.json").read_bytes())
    assert lora.told["dataset_sha256"] == report["manifest_sha256"] and lora.told["licences"] == report["licences"]
    assert lora.told["base_model_sha256"] == folder.hashes()["denoiser"] and lora.told["trigger"] == "zaq"
    previews = [e for e in told if isinstance(e, events.Preview)]
    assert [e.step for e in previews] == [10, 20] and all(Path(e.path).stat().st_size > 100 for e in previews)
    assert not [e for e in told if isinstance(e, events.Note) and "preview" in e.template]
    page = (world / "lora" / "report.html").read_text(encoding="utf-8")
    assert (
        "損失" in page
        and "<svg" in page
        and page.count("data:image/png") == 2
        and "http://"
        not in page.replace("http://www.w3.org", "")
        .replace("http://purl.org", "")
        .replace("http://creativecommons.org/ns", "")
    )
    assert (world / "lora" / "ATTRIBUTION.md").is_file()
    assert list((world / "lora" / "tensorboard").iterdir())


def test_layers_by_pattern(world: Path) -> None:
    config = identify(world / "tiny").denoiser_config
    assert len(match_layers(("transformer_blocks.*.attn1.*", "*.attn1.to_q"), config)) == 8
    with pytest.raises(BadConfig, match="no layer is called attn3"):
        train(world, "pattern", "lora.layers=['attn3']")
    assert not (world / "pattern" / "checkpoints").exists()


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_with_fp32_masters(world: Path, dtype: str) -> None:
    fp32, _ = train(world, "fp32-" + dtype, "schedule.steps=4")
    told, trainer = train(
        world,
        dtype,
        f"device.dtype={dtype}",
        "schedule.steps=4",
        "device.checkpointing=true",
        "previews.prompts=['cat']",
        "previews.every=4",
        "previews.steps=1",
    )
    assert {p.dtype for p in trainer.train_state.named.values()} == {torch.float32}
    assert trainer.train_state.model.dit.proj_out.weight.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    for step, loss in losses(told).items():
        assert loss == pytest.approx(losses(fp32)[step], rel=0.05)
    assert [e for e in told if isinstance(e, events.Preview)]


# whole models -----------------------------------------------------------------------------------------------------


def test_full_training_gives_a_pipeline(world: Path) -> None:
    told, trainer = train(
        world,
        "full",
        "kind=full",
        "ema.decay=0.9",
        "optimiser.name=came",
        "optimiser.lr=1e-4",
        "device.checkpointing=true",
    )
    folder = open_model(told[-1].path)
    model = load_denoiser(folder, CPU, torch.float32)
    kept = trainer.train_state.average.weights
    assert all(torch.equal(p, kept[n]) for n, p in model.named_parameters())
    assert any(
        not torch.equal(p, trainer.train_state.named[n]) for n, p in model.named_parameters()
    )  # the averages, not the last
    assert (
        folder.hashes()["text_encoder"] == trainer.setup.info.hashes["text_encoder"]
        and folder.hashes()["vae"] == trainer.setup.info.hashes["vae"]
    )
    from diffusers import PixArtTransformer2DModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, info = PixArtTransformer2DModel.from_pretrained(folder.denoiser, output_loading_info=True)
    assert not any(info.values()) and theirs.config.sample_size == 8


def test_from_nothing_with_another_prediction(world: Path) -> None:
    told, _ = train(
        world,
        "scratch",
        "kind=scratch",
        "scratch.layers=1",
        "scratch.heads=3",
        "scratch.patch_size=4",
        "loss.prediction=v_prediction",
        "schedule.steps=30",
        "optimiser.lr=3e-3",
        "loss.min_snr=0.0",
        "data.resolution=32",
        "data.buckets=false",
        "heldout.every=15",
        "data.latents=mode",
    )
    found = [e.loss for e in told if isinstance(e, events.HeldoutLoss)]
    assert found[-1] < 0.9 * found[0]
    folder = open_model(told[-1].path)
    assert folder.scheduler_config["prediction_type"] == "v_prediction"
    model = load_denoiser(folder, CPU, torch.float32)
    assert (model.config.num_layers, model.config.width, model.config.patch_size) == (1, 48, 4)


def test_size_conditions_of_alpha(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONART_HOME", str(tmp_path / "home"))
    told, _ = train(
        make_world(tmp_path, 4, kind="alpha"),
        "alpha",
        "schedule.steps=2",
        "previews.prompts=['cat']",
        "previews.every=2",
        "previews.steps=1",
    )
    assert len(losses(told)) == 2 and [e for e in told if isinstance(e, events.Preview)]


# when things go wrong ---------------------------------------------------------------------------------------------


def test_the_split_of_a_step_changes_nothing(world: Path) -> None:
    whole, _ = train(world, "whole", "batch.size=6", "schedule.steps=3")
    parts, _ = train(world, "parts", "batch.size=6", "batch.micro=1", "schedule.steps=3")
    for step, loss in losses(whole).items():
        assert losses(parts)[step] == pytest.approx(loss, rel=1e-5)


def test_out_of_memory_is_retried_smaller(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want, _ = train(world, "room", "batch.size=6", "schedule.steps=3")
    real = TrainStep.loss_of

    def tight(self: TrainStep, rows: Any) -> torch.Tensor:
        if len(rows) > 2:  # in evaluations too
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, rows)

    monkeypatch.setattr(TrainStep, "loss_of", tight)
    told, trainer = train(world, "tight", "batch.size=6", "schedule.steps=3")
    for step, loss in losses(want).items():
        assert losses(told)[step] == pytest.approx(loss, rel=1e-5)
    assert trainer.train_state.stepper.micro == 2
    assert [e.fields["micro"] for e in told if isinstance(e, events.Note) and "Not enough memory" in e.template] == [
        3,
        2,
    ]
    monkeypatch.setattr(
        TrainStep, "loss_of", lambda self, rows: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory"))
    )
    with pytest.raises(TrainingMemory, match=r"32x32|24x40|40x24"):
        train(world, "none", "schedule.steps=3")


def test_not_a_number_goes_back_once(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = TrainStep.gradients
    bad = {5}

    def spoiled(self: TrainStep, rows: Any, total: int) -> float:
        loss = real(self, rows, total)
        spoiled.calls += 1
        return math.nan if spoiled.calls in bad else loss

    spoiled.calls = 0
    monkeypatch.setattr(TrainStep, "gradients", spoiled)
    told, trainer = train(world, "nan")
    assert [e.fields for e in told if isinstance(e, events.Note)] == [{"failed": 5, "step": 3}]
    assert isinstance(told[-1], events.Finished) and [e.step for e in told if isinstance(e, events.Step)] == [
        1,
        2,
        3,
        4,
        4,
        5,
        6,
        7,
        8,
    ]
    spoiled.calls, bad = 0, {2, 4}
    with pytest.raises(TrainingDiverged, match="step 3"):
        train(world, "nan2", "checkpoint.every=1")
    assert trainer.attempt == 1


def test_previews_cannot_end_a_run(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.learn.previews import PreviewPainter

    monkeypatch.setattr(PreviewPainter, "_pixels", lambda *a: (_ for _ in ()).throw(RuntimeError("CUDA error {x}")))
    told, _ = train(world, "blind", "schedule.steps=2", "previews.prompts=['cat']", "previews.every=1")
    assert isinstance(told[-1], events.Finished)
    assert [e.template for e in told if isinstance(e, events.Note)] == ["No preview could be drawn: {why}"] * 2


def test_commands(world: Path) -> None:
    def watch(trainer: Any, event: Any) -> None:
        if isinstance(event, events.Step) and event.step == 2:
            trainer.commands.put("save")
            trainer.commands.put("sample")
            trainer.commands.put("pause")
        if isinstance(event, events.Paused):
            trainer.commands.put("resume")
        if isinstance(event, events.Step) and event.step == 5:
            trainer.commands.put("quit")

    told, _ = train(
        world,
        "told",
        "checkpoint.every=100",
        "previews.prompts=['cat']",
        "previews.every=0",
        "previews.steps=1",
        watch=watch,
    )
    kinds = [type(e).__name__ for e in told if not isinstance(e, events.Preparing)]
    assert kinds == [
        "Started",
        "HeldoutLoss",
        "Step",
        "Step",
        "Saved",
        "Preview",
        "Paused",
        "Resumed",
        "Step",
        "Step",
        "HeldoutLoss",
        "Step",
        "Saved",
        "Stopped",
    ]
    assert told[-1].step == 5


def test_a_full_disk_stops_before_a_checkpoint(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def watch(trainer: Any, event: Any) -> None:
        if isinstance(event, events.Step) and event.step == 5:
            monkeypatch.setenv("COMMONART_MIN_FREE_MB", "999999999")

    with pytest.raises(NoRoom, match="MB left"):
        train(world, "full-disk", watch=watch)
    monkeypatch.delenv("COMMONART_MIN_FREE_MB")
    assert [p.name for p in (world / "full-disk" / "checkpoints").iterdir()] == ["step-00000003"]
    told, _ = train(world, "full-disk", resume=True)
    assert isinstance(told[-1], events.Finished)
    monkeypatch.setenv("COMMONART_MIN_FREE_MB", "999999999")
    with pytest.raises(NoRoom):  # told at the start, not hours later
        train(world, "no-room")


def test_the_gate_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONART_HOME", str(tmp_path / "home"))
    world = make_world(tmp_path, 4)
    picture = next((world / "data").glob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"x")
    with pytest.raises(GateClosed, match=picture.name):
        train(world, "gate")
    assert not (world / "gate" / "run.json").exists() and not (world / "home" / "cache" / "latents").exists()


def test_a_run_is_not_written_over_and_not_bent(world: Path) -> None:
    train(world, "bound", "schedule.steps=4")
    with pytest.raises(RunExists, match="step 4"):
        train(world, "bound", "schedule.steps=4")
    with pytest.raises(RunDiffers, match=r"lora.rank was 4 and is now 8"):
        train(world, "bound", "lora.rank=8", resume=True)
    told, _ = train(world, "bound", "schedule.steps=6", "checkpoint.keep=5", resume=True)  # longer is no other run
    assert [e.step for e in told if isinstance(e, events.Step)] == [5, 6]


def test_the_best_is_kept_and_may_be_the_result(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.learn import validation

    values = iter([3.5, 3.0, 1.0, 2.0, 2.5, 2.6, 2.7])
    monkeypatch.setattr(validation, "evaluate", lambda *a: next(values))
    told, trainer = train(
        world,
        "best",
        "heldout.every=2",
        "checkpoint.every=2",
        "checkpoint.keep=1",
        "checkpoint.result=best",
        "schedule.steps=12",
    )
    assert sorted(trainer.checkpoints.steps()) == [4, 12]
    kept = trainer.checkpoints.load(4).weights
    from safetensors.torch import load_file

    saved = load_file(told[-1].path)
    assert all(torch.equal(saved[f"transformer.{n.replace('.default.', '.')}"], t) for n, t in kept.items())
    assert ["by heart" in e.template for e in told if isinstance(e, events.Note)] in ([], [True])


def test_nothing_to_learn_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONART_HOME", str(tmp_path / "home"))
    world = make_world(tmp_path, 4)
    file = world / "data" / "metadata.jsonl"
    rows = [json.loads(x) | {"text": "", "text_ja": ""} for x in file.read_text(encoding="utf-8").splitlines()]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(TooFewPictures):
        train(world, "nothing")
