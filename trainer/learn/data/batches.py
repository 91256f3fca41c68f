"""The training samples of a step: image, caption, timestep and noise of each row are functions of (seed, step, row)."""

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
    """Scaled latents and noise, float32 ``[c, h, w]``; a timestep; the caption's features ``[tokens, channels]``."""

    latents: Tensor
    noise: Tensor
    timestep: int
    text: Tensor
    size: tuple[int, int]  # width, height in pixels


def choose_caption(item: TrainingImage, japanese: float, first: float, second: float) -> str:
    """One of the image's captions by two random numbers in [0, 1): for the language, then for the caption."""
    languages = [c for c in (item.japanese, item.english) if c]
    captions = languages[0] if len(languages) == 1 or first < japanese else languages[1]
    return captions[int(second * len(captions))]


class BatchSampler:
    """The rows of any step; those of the next step are prepared in a thread during training."""

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
        self._executor = ThreadPoolExecutor(1, "rows")

    def of(self, step: int, attempt: int, rank: int, world: int) -> list[Sample]:
        """This process's rows of a step.

        ``attempt`` grows when a run returns to a checkpoint and must not draw the same random numbers again.
        """
        key = (step, attempt, rank, world)
        rows = self._ahead[1].result() if self._ahead and self._ahead[0] == key else self._create(*key)
        following = (step + 1, *key[1:])
        self._ahead = (following, self._executor.submit(self._create, *following))
        return rows

    def _create(self, step: int, attempt: int, rank: int, world: int) -> list[Sample]:
        indices = self.order.rows(step)
        return [
            self._row(
                self._items[indices[n]],
                counter_rng.stream(self._config.seed, counter_rng.ROW, step, n + (attempt << 32)),
            )
            for n in range(rank, len(indices), world)
        ]

    def _row(self, item: TrainingImage, rng: np.random.Generator) -> Sample:
        data = self._config.data
        language, which, dropped, mirrored = rng.random(4)
        timestep = self._objective.timestep(rng)
        mean, std = self._features.latent(item, bool(mirrored < data.flip))
        noise = torch.from_numpy(counter_rng.normal(rng, tuple(mean.shape)))
        if data.latents == "sample":
            mean = mean + std * torch.from_numpy(counter_rng.normal(rng, tuple(mean.shape)))
        caption = "" if dropped < data.caption_dropout else choose_caption(item, data.japanese, language, which)
        return Sample(self._features.scaled(mean), noise, timestep, self._features.text(caption), item.bucket)

    def heldout(self, items: Sequence[TrainingImage], timesteps: int) -> list[Sample]:
        """Two rows per held-out image, the same in every validation.

        They have the mean of the latents, noise that depends on the image only, timesteps spread evenly over all
        images, and captions alternating between the languages.
        """
        rows = []
        for n, item in enumerate(sorted(items, key=lambda i: i.sha256)):
            for side in (0, 1):
                rng = counter_rng.stream(self._config.seed, counter_rng.HELDOUT, int(item.sha256[:15], 16), side)
                # the golden ratio spreads any number of timesteps evenly
                position = (0.5 + (2 * n + side) * 0.6180339887498949) % 1
                mean, _ = self._features.latent(item, False)
                rows.append(
                    Sample(
                        self._features.scaled(mean),
                        torch.from_numpy(counter_rng.normal(rng, tuple(mean.shape))),
                        int(position * timesteps),
                        self._features.text(choose_caption(item, 0.5, side * 0.5, 0.0)),
                        item.bucket,
                    )
                )
        return rows

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def micro_batches(rows: Iterable[Sample], most: int) -> list[list[Sample]]:
    """Batches of at most ``most`` rows of the same shape, sorted by the length of their captions."""
    by_shape: dict[tuple[int, ...], list[Sample]] = {}
    for row in rows:
        by_shape.setdefault(tuple(row.latents.shape), []).append(row)
    batches = []
    for same in by_shape.values():
        batches += [sorted(same[i : i + most], key=lambda r: len(r.text)) for i in range(0, len(same), most)]
    return batches
