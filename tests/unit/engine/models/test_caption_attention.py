"""Captions folded into the weights around them give what attention gives; only short ones, on a CPU, are folded."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from engine.models import caption_attention
from engine.models.pixart import DiT, DiTConfig

CONFIG = DiTConfig(
    num_attention_heads=4,
    attention_head_dim=16,
    num_layers=3,
    cross_attention_dim=64,
    caption_channels=24,
    sample_size=16,
    use_additional_conditions=False,
    interpolation_scale=1.0,
)
LENGTHS = (1, 1, 5, 5, 3)


@pytest.fixture(params=[True, False])
def model(request) -> DiT:
    torch.manual_seed(0)
    return DiT(dataclasses.replace(CONFIG, attention_bias=request.param)).eval().requires_grad_(False)


def _features(lengths=LENGTHS) -> list[torch.Tensor]:
    noise = torch.Generator().manual_seed(1)
    made = {n: torch.randn(n, 24, generator=noise) for n in lengths}
    return [made[n] if k % 2 else torch.randn(n, 24, generator=noise) for k, n in enumerate(lengths)]


def _latents(rows: int) -> torch.Tensor:
    return torch.randn(rows, 4, 8, 8, generator=torch.Generator().manual_seed(2))


@torch.inference_mode()
def _drawn(model: DiT, features: list[torch.Tensor], latents: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    return model(latents, times, model.captions(features))


@pytest.mark.parametrize("lengths", [LENGTHS, (1,) * 5, (8, 20, 20, 2, 1), (7,) * 5])
def test_the_numbers_are_those_of_attention(model, monkeypatch, lengths):
    features, times = _features(lengths), torch.tensor([10.0, 200.0, 500.0, 700.0, 999.0])
    folded = _drawn(model, features, _latents(5), times)
    monkeypatch.setattr(caption_attention, "should_fold", lambda *_: False)
    plain = _drawn(model, features, _latents(5), times)
    assert torch.allclose(folded, plain, atol=2e-5 * float(plain.abs().max()))
    assert not torch.equal(folded, plain)  # it was indeed another way


def test_one_caption_for_all_rows_is_one_product(model):
    one = torch.randn(4, 24, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        (group,) = model.captions([one] * 6)
        several = model.captions([one.clone() for _ in range(6)])
        assert len(group.folded[0].scores) == 1 and len(several[0].folded[0].scores) == 6
        times = torch.full((1,), 300.0)
        assert torch.allclose(model(_latents(6), times, [group]), model(_latents(6), times, several), atol=1e-5)


def test_long_captions_and_those_outside_of_inference_are_left_alone(model):
    attention = model.transformer_blocks[0].attn2
    with torch.inference_mode():
        assert caption_attention.should_fold(attention, 8, 3) and not caption_attention.should_fold(attention, 9, 3)
        assert not caption_attention.should_fold(attention, 8, 10_000)  # it would not fit
        groups = model.captions(_features((8, 9)))
        assert groups[0].folded and groups[1].folded is None
    assert all(g.folded is None for g in model.captions(_features((4,))))


def test_latents_may_stand_for_several_rows(model):
    """Both halves of guidance: what they share is computed once, and nothing changes."""
    features = _features((1, 1, 1, 5, 5, 5))
    with torch.inference_mode():
        captions, x, times = model.captions(features), _latents(3), torch.full((1,), 400.0)
        once = model(x, times, captions)
        twice = model(torch.cat([x, x]), times.expand(6), captions)
        each = model(x, times.expand(6), captions)  # a timestep a row: all rows from the start
    assert once.shape == twice.shape == (6, 8, 8, 8)
    assert torch.allclose(once, twice, atol=1e-5) and torch.allclose(each, twice, atol=1e-5)


def test_gelu_is_its_tanh_form(model):
    inner = model.transformer_blocks[0].ff.net[0]
    x = torch.linspace(-200, 200, 64 * 40).view(40, 64)
    with torch.inference_mode():
        fast = inner(x)
    exact = F.gelu(inner.proj(x), approximate="tanh")
    assert torch.isfinite(fast).all() and torch.allclose(fast, exact, atol=1e-5, rtol=1e-5)
