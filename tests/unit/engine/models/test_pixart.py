"""Our transformer gives what diffusers' PixArtTransformer2DModel gives on the same weights, padding or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.models.pixart import DiT, DiTConfig
from tests.support.tiny_models import denoiser_config, make_denoiser

WIDE = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "cross_attention_dim": 1152,
    "caption_channels": 4096,
    "sample_size": 64,
    "num_layers": 1,
}
BOUND = 1e-5


def pair(**changes: Any) -> tuple[DiT, Any]:
    """(ours, diffusers') with the same weights, and output layers loud enough that every part is heard."""
    from diffusers import PixArtTransformer2DModel

    torch.manual_seed(0)
    config = denoiser_config(**changes)
    theirs = PixArtTransformer2DModel(**config).eval().requires_grad_(False)
    for name, p in theirs.named_parameters():
        if "proj_out" in name or "to_out" in name:
            torch.nn.init.normal_(p, std=0.1)
    ours = DiT(DiTConfig.from_dict(dict(theirs.config))).eval().requires_grad_(False)
    state = {k: v for k, v in theirs.state_dict().items() if not k.endswith("pos_embed.pos_embed")}
    assert not any(ours.load_state_dict(state, strict=True))
    return ours, theirs


def padded(features: list[Tensor], length: int) -> tuple[Tensor, Tensor]:
    """The reference's form: junk after the end of each caption, and a mask that hides it."""
    states = torch.randn(len(features), length, features[0].shape[1], generator=torch.Generator().manual_seed(9))
    mask = torch.zeros(len(features), length, dtype=torch.long)
    for i, f in enumerate(features):
        states[i, : len(f)], mask[i, : len(f)] = f, 1
    return states, mask


def captions_of(lengths: list[int], channels: int) -> list[Tensor]:
    g = torch.Generator().manual_seed(5)
    return [torch.randn(n, channels, generator=g) for n in lengths]


def differ(
    ours: DiT, theirs: Any, size: tuple[int, int], lengths: list[int], times: list[float], pad: int = 24
) -> float:
    """Largest error relative to the largest value, each row for itself."""
    n, config = len(lengths), ours.config
    latents = torch.randn(n, config.in_channels, *size, generator=torch.Generator().manual_seed(1))
    features = captions_of(lengths, config.caption_channels)
    added: dict[str, Any] = {"resolution": None, "aspect_ratio": None}
    own: dict[str, Any] = {}
    if config.use_additional_conditions:
        sides = torch.tensor([[float(size[0] * 8 + i), float(size[1] * 8)] for i in range(n)])
        aspect = sides[:, :1] / sides[:, 1:]
        added, own = {"resolution": sides, "aspect_ratio": aspect}, {"resolution": sides, "aspect": aspect}
    states, mask = padded(features, pad)
    with torch.no_grad():
        want = theirs(
            latents,
            encoder_hidden_states=states,
            timestep=torch.tensor(times),
            encoder_attention_mask=mask,
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        got = ours(latents, torch.tensor(times), ours.captions(features), **own)
    assert got.shape == want.shape
    return float(((got - want).flatten(1).abs().amax(1) / want.flatten(1).abs().amax(1)).max())


@pytest.fixture(scope="module")
def wide() -> tuple[DiT, Any]:
    return pair(**WIDE)


@pytest.mark.parametrize("size", [(16, 16), (8, 20), (18, 6)])
def test_equals_diffusers_at_the_real_widths(wide: tuple[DiT, Any], size: tuple[int, int]) -> None:
    assert differ(*wide, size, [7, 7, 3], [999.0, 500.0, 1.0]) <= BOUND


def test_equals_diffusers_over_two_layers_at_the_real_widths() -> None:
    assert differ(*pair(**WIDE | {"num_layers": 2, "interpolation_scale": None}), (16, 16), [5], [980.0]) <= BOUND


@pytest.mark.parametrize(
    "changes",
    [
        {"use_additional_conditions": True, "attention_head_dim": 24, "cross_attention_dim": 48},
        {"patch_size": 4},
        {"patch_size": 1},
        {"interpolation_scale": 2},
        {"interpolation_scale": None, "sample_size": 128, "use_additional_conditions": False},
        {
            "interpolation_scale": None,
            "sample_size": 128,
            "use_additional_conditions": None,
            "attention_head_dim": 24,
            "cross_attention_dim": 48,
        },
        {"attention_bias": False},
        {"out_channels": 4},
        {"norm_eps": 1e-3},
        {"in_channels": 16, "out_channels": 32},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(8, 8), (4, 12)])
def test_equals_diffusers_for_every_setting(changes: dict[str, Any], size: tuple[int, int]) -> None:
    assert differ(*pair(**changes), size, [1, 24, 9, 9], [999.0, 3.0, 250.0, 0.0]) <= BOUND


@pytest.mark.parametrize("time", [0.0, 1.0, 37.0, 512.5, 998.0, 999.0])
def test_every_timestep_is_embedded_as_diffusers_does(time: float) -> None:
    assert differ(*pair(), (8, 8), [4], [time]) <= BOUND


def test_rows_do_not_know_of_each_other() -> None:
    ours, _ = pair()
    latents, features = torch.randn(3, 4, 8, 8), captions_of([2, 5, 5], 32)
    times = torch.tensor([10.0, 500.0, 900.0])
    with torch.no_grad():
        together = ours(latents, times, ours.captions(features))
        for i in range(3):
            alone = ours(latents[i : i + 1], times[i : i + 1], ours.captions(features[i : i + 1]))
            torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-4, atol=1e-5)


def test_captions_are_heard() -> None:
    ours, _ = pair()
    x, t = torch.randn(1, 4, 8, 8), torch.tensor([500.0])
    one, two = captions_of([5, 5], 32)
    with torch.no_grad():
        assert not torch.allclose(ours(x, t, ours.captions([one])), ours(x, t, ours.captions([two])), atol=1e-3)


def test_captions_are_grouped_by_length_and_shared_rows_are_held_once() -> None:
    ours, _ = pair()
    a, b, c = captions_of([3, 5, 5], 32)
    groups = ours.captions([a, a, b, c, c, a])
    assert [(g.start, g.stop) for g in groups] == [(0, 2), (2, 5), (5, 6)]
    assert [g.keys[0].shape for g in groups] == [(1, 2, 3, 16), (3, 2, 5, 16), (1, 2, 3, 16)]
    assert all(len(g.keys) == len(g.values) == 2 for g in groups)
    assert groups[0].keys[0] is groups[2].keys[0], "a caption is projected once, wherever its rows lie"
    assert torch.equal(groups[1].keys[1][1], groups[1].keys[1][2])
    copies = [f.clone() for f in (a, a, b, c, c, a)]  # equal words as other objects: the same numbers
    x, t = torch.randn(6, 4, 8, 8), torch.full((6,), 400.0)
    with torch.no_grad():
        torch.testing.assert_close(ours(x, t, groups), ours(x, t, ours.captions(copies)))


def test_positions_follow_a_change_of_size() -> None:
    """The last size's positions are kept: another size of as many patches must not get them."""
    ours, theirs = pair()
    for size in [(8, 8), (4, 16), (16, 4), (8, 8)]:
        assert differ(ours, theirs, size, [3], [600.0]) <= BOUND


def test_legacy_config_is_read(tmp_path: Path) -> None:
    make_denoiser(tmp_path / "new")
    make_denoiser(tmp_path / "old", legacy=True)
    new, old = (json.loads((tmp_path / n / "config.json").read_text(encoding="utf-8")) for n in ("new", "old"))
    assert (old["_class_name"], new["_class_name"]) == ("Transformer2DModel", "PixArtTransformer2DModel")
    assert DiTConfig.from_dict(old) == DiTConfig.from_dict(new)


def test_defaults_are_those_of_diffusers() -> None:
    from diffusers import PixArtTransformer2DModel

    theirs = PixArtTransformer2DModel(num_layers=0, caption_channels=4096)
    ours = DiTConfig.from_dict({"_class_name": "PixArtTransformer2DModel", "norm_type": "ada_norm_single"})
    for name in (
        "num_attention_heads",
        "attention_head_dim",
        "in_channels",
        "out_channels",
        "cross_attention_dim",
        "caption_channels",
        "sample_size",
        "patch_size",
        "attention_bias",
        "norm_eps",
    ):
        assert getattr(ours, name) == theirs.config[name], name
    assert ours.use_additional_conditions == theirs.use_additional_conditions
    assert ours.interpolation_scale == 128 // 64


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("norm_type", "ada_norm"),
        ("activation_fn", "geglu"),
        ("attention_type", "gated"),
        ("double_self_attention", True),
        ("only_cross_attention", True),
        ("use_linear_projection", True),
        ("num_vector_embeds", 100),
        ("upcast_attention", True),
        ("norm_elementwise_affine", True),
        ("cross_attention_dim", 768),
        ("out_channels", 2),
        ("in_channels", 0),
        ("sample_size", 7),
    ],
)
def test_another_architecture_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key if key not in ("in_channels", "out_channels") else "channels"):
        DiTConfig.from_dict({**denoiser_config(), "norm_type": "ada_norm_single", key: value})


def test_a_legacy_class_without_its_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="norm_type"):
        DiTConfig.from_dict({**denoiser_config(), "_class_name": "Transformer2DModel"})
