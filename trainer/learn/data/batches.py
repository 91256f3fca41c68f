"""What a step learns from: for each row a picture, a caption, a timestep and noise, all functions of (seed, step, row)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.config import Config
from trainer.learn.data import counter_rng
from trainer.learn.data.buckets import BucketOrder
from trainer.learn.data.feature_cache import FeatureCache
from trainer.learn.data.samples import TrainingImage
from trainer.learn.loss import Objective


@dataclass(frozen=True)
class Sample:
    """float32 ``[c, h, w]`` clean scaled latents and noise, the timestep, and the caption's ``[tokens, channels]``."""

    latents: Tensor
    noise: Tensor
    timestep: int
    text: Tensor
    size: tuple[int, int]  # width, height in pixels


def choose_caption(item: TrainingImage, japanese: float, first: float, second: float) -> str:
    """One of the item's captions by two numbers in [0, 1): the language, then which."""
    languages = [c for c in (item.japanese, item.english) if c]
    pile = languages[0] if len(languages) == 1 or first < japanese else languages[1]
    return pile[int(second * len(pile))]


class BatchSampler:
    """Rows of any step; the next step's are made ready in a thread beside the training."""

    def __init__(
        self, config: Config, items: Sequence[TrainingImage], features: FeatureCache, objective: Objective
    ) -> None:
        self._config, self._items, self._features, self._objective = config, items, features, objective
        self.order = BucketOrder(
            [i.bucket for i in items],
            [i.weight for i in items],
            batch=config.batch.size,
            accumulation=config.batch.accumulation,
            seed=config.seed,
        )
        self._ahead: tuple[tuple[int, ...], Future[list[Sample]]] | None = None
        self._thread = ThreadPoolExecutor(1, "rows")

    def of(self, step: int, attempt: int, rank: int, world: int) -> list[Sample]:
        """This process's rows of a step. ``attempt`` grows when a run goes back and must not meet the same chance again."""
        key = (step, attempt, rank, world)
        rows = self._ahead[1].result() if self._ahead and self._ahead[0] == key else self._make(*key)
        following = (step + 1, *key[1:])
        self._ahead = (following, self._thread.submit(self._make, *following))
        return rows

    def _make(self, step: int, attempt: int, rank: int, world: int) -> list[Sample]:
        indices = self.order.rows(step)
        return [
            self._row(
                self._items[indices[n]],
                counter_rng.stream(self._config.seed, counter_rng.ROW, step, n + (attempt << 32)),
            )
            for n in range(rank, len(indices), world)
        ]

    def _row(self, item: TrainingImage, chance: np.random.Generator) -> Sample:
        data = self._config.data
        language, which, dropped, mirrored = chance.random(4)
        timestep = self._objective.timestep(chance)
        mean, std = self._features.latent(item, bool(mirrored < data.flip))
        noise = torch.from_numpy(counter_rng.normal(chance, tuple(mean.shape)))
        if data.latents == "sample":
            mean = mean + std * torch.from_numpy(counter_rng.normal(chance, tuple(mean.shape)))
        caption = "" if dropped < data.caption_dropout else choose_caption(item, data.japanese, language, which)
        return Sample(self._features.scaled(mean), noise, timestep, self._features.text(caption), item.bucket)

    def heldout(self, items: Sequence[TrainingImage], timesteps: int) -> list[Sample]:
        """Two rows a held-out picture, the same in every evaluation: the latents' mean, noise of the picture's own, timesteps
        spread evenly over all pictures, captions of both languages in turn."""
        rows = []
        for n, item in enumerate(sorted(items, key=lambda i: i.sha256)):
            for side in (0, 1):
                chance = counter_rng.stream(self._config.seed, counter_rng.HELDOUT, int(item.sha256[:15], 16), side)
                place = (
                    0.5 + (2 * n + side) * 0.6180339887498949
                ) % 1  # the golden ratio spreads any number of them evenly
                mean, _ = self._features.latent(item, False)
                rows.append(
                    Sample(
                        self._features.scaled(mean),
                        torch.from_numpy(counter_rng.normal(chance, tuple(mean.shape))),
                        int(place * timesteps),
                        self._features.text(choose_caption(item, 0.5, side * 0.5, 0.0)),
                        item.bucket,
                    )
                )
        return rows

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)


def micro_batches(rows: Iterable[Sample], most: int) -> list[list[Sample]]:
    """Rows of one shape together, at most ``most``, sorted by the captions' length."""
    piles: dict[tuple[int, ...], list[Sample]] = {}
    for row in rows:
        piles.setdefault(tuple(row.latents.shape), []).append(row)
    found = []
    for pile in piles.values():
        found += [sorted(pile[i : i + most], key=lambda r: len(r.text)) for i in range(0, len(pile), most)]
    return found
