"""The maths of the evaluation, against torchmetrics and against what must hold by definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.evaluation import metrics
from trainer.evaluation.significance import paired, paired_mmd2


def _sets(m: int, n: int, d: int, gap: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    return rng.normal(size=(m, d)) @ mix + gap, rng.normal(size=(n, d))


def _tensor(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(x)


class Given(torch.nn.Module):
    """Stands for Inception: hands on the features that come in as pictures."""

    num_features = 24

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(len(x), -1)


@pytest.mark.filterwarnings("ignore:Metric `Kernel:UserWarning")
@pytest.mark.parametrize("seed", [0, 1])
def test_kid_is_that_of_torchmetrics(seed: int) -> None:
    from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

    x, y = _sets(90, 90, 24, seed=seed)
    found = metrics.kid(x, y, resamples=50)
    assert found.value == pytest.approx(float(poly_mmd(_tensor(y), _tensor(x))), rel=1e-4)
    theirs = KernelInceptionDistance(feature=Given(), subsets=3, subset_size=90).set_dtype(torch.float64)
    theirs.update(_tensor(y), real=True)
    theirs.update(_tensor(x), real=False)
    assert found.value == pytest.approx(float(theirs.compute()[0]), rel=1e-4)
    # with subsets: the mean over the same draws
    picked = metrics.bootstrap_draws(90, 90, 7, 40, seed)
    wanted = np.mean([float(poly_mmd(_tensor(y[b]), _tensor(x[a]))) for a, b in picked])
    assert metrics.kid(x, y, seed=seed, subsets=7, subset=40, resamples=5).value == pytest.approx(wanted, rel=1e-4)


def test_fid_is_that_of_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    x, y = _sets(300, 260, 24)
    theirs = FrechetInceptionDistance(feature=Given()).set_dtype(torch.float64)
    theirs.update(_tensor(y), real=True)
    theirs.update(_tensor(x), real=False)
    found = metrics.fid(x, y, least=100, resamples=20)
    assert found.value == pytest.approx(float(theirs.compute()), rel=1e-4)
    assert 0.5 * found.value < found.low < found.value < found.high < 1.5 * found.value


def test_fid_is_refused_below_2048() -> None:
    x, y = _sets(2047, 2048, 4)
    with pytest.raises(ValueError, match="2048"):
        metrics.fid(x, y)
    assert metrics.fid(*_sets(2048, 2048, 4), resamples=2).value > 0


def test_cmmd_is_the_unbiased_mmd_of_its_paper() -> None:
    x, y = _sets(60, 80, 16)
    a, b = (torch.nn.functional.normalize(_tensor(s)) for s in (x, y))

    def k(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        return torch.exp(-(torch.cdist(p, q) ** 2) / (2 * 10.0**2))

    wanted = ((k(a, a).sum() - 60) / (60 * 59) + (k(b, b).sum() - 80) / (80 * 79) - 2 * k(a, b).mean()) * 1000
    assert metrics.cmmd(x, y, resamples=20).value == pytest.approx(float(wanted), rel=1e-4)


def test_clipscore_is_two_and_a_half_cosines() -> None:
    x, y = _sets(40, 40, 8, gap=0)
    wanted = torch.nn.functional.cosine_similarity(_tensor(x), _tensor(y))
    found = metrics.cosines(x, y)
    assert np.allclose(found, wanted.numpy(), rtol=1e-6)
    assert np.allclose(metrics.clipscore(found), 2.5 * np.clip(wanted.numpy(), 0, None))
    assert (metrics.clipscore(found) >= 0).all() and (found < 0).any()


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = _sets(50, 33, 6)
    whole = metrics.mmd2(x, y, metrics.polynomial)
    monkeypatch.setattr(metrics, "_BLOCK", 7)
    assert metrics.mmd2(x, y, metrics.polynomial) == pytest.approx(whole, rel=1e-12)


def test_a_row_drawn_twice_is_not_compared_with_itself() -> None:
    """Weights are repetitions: without that care every resample would seem further away."""
    x, y = _sets(12, 9, 5)
    w = np.array([[2, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]], float)
    rows = np.repeat(np.arange(12), w[0].astype(int))
    own = metrics.polynomial(x[rows], x[rows])
    different = rows[:, None] != rows[None]
    other = metrics.polynomial(y, y)
    wanted = (
        own[different].mean() + (other.sum() - np.trace(other)) / (9 * 8) - 2 * metrics.polynomial(x[rows], y).mean()
    )
    assert metrics.weighted_mmd2(x, y, metrics.polynomial, w, np.ones((1, 9)))[0] == pytest.approx(wanted, rel=1e-9)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for n in range(60):
        found = metrics.mean_of([rng.normal(2.0, 1.0, 80)], seed=n, resamples=300)
        held += found.low <= 2.0 <= found.high
    assert held >= 50
    # two sets of one distribution: the interval of their distance reaches down to nothing
    x, y = _sets(80, 80, 8, gap=0, seed=4)
    same = metrics.kid(y[:40], y[40:], resamples=200)
    assert same.low <= 0 or abs(same.value) < 0.2
    assert metrics.kid(x + 1.0, y, resamples=200).low > 0


def test_the_mean_of_two_languages_weighs_them_alike() -> None:
    found = metrics.mean_of([np.ones(10), np.zeros(1000)], resamples=50)
    assert found.value == 0.5 and found.n == 1010


def test_a_real_difference_is_significant_and_none_is_not() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0.3, 0.1, 200)
    better = paired([base + rng.normal(0.03, 0.05, 200)], [base], rounds=500)
    assert better.p < 0.01 and better.low is not None and better.low > 0
    same = [paired([rng.normal(size=60)], [rng.normal(size=60)], seed=n, rounds=200).p for n in range(40)]
    assert np.mean(np.array(same) < 0.05) < 0.25 and min(same) > 0


def test_the_distance_test_finds_the_model_nearer_to_the_reference() -> None:
    rng = np.random.default_rng(1)
    reference, near = rng.normal(size=(120, 8)), rng.normal(size=(80, 8))
    far = near + 0.8
    found = paired_mmd2(near, far, reference, metrics.polynomial, rounds=300)
    wanted = metrics.mmd2(near, reference, metrics.polynomial) - metrics.mmd2(far, reference, metrics.polynomial)
    assert found.value == pytest.approx(wanted, rel=1e-6) and found.value < 0 and found.p < 0.02
    assert paired_mmd2(near, near[::-1].copy(), reference, metrics.polynomial, rounds=300).p > 0.5
