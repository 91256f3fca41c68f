"""Caption features for the denoiser's training, made in batches of equal length before the trainer asks for them one by
one.

A caption alone and in a batch without padding give the same features up to rounding; for some 85,000 short captions on
one core the batches take a minute and single ones half an hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from engine.backends.pytorch.devices import DTYPES, choose_dtype
from engine.checkpoint.layout import ModelFolder
from engine.models.text_encoder import CaptionEncoder, Feature, FeatureStore
from trainer.dataset.records import read_records

BATCH = 256


def captions_of(folders: Iterable[Path]) -> list[str]:
    """Every caption once, with the empty one that stands for a caption left out."""
    return list(
        dict.fromkeys(
            [
                "",
                *(
                    c
                    for folder in folders
                    for r in read_records(folder)
                    for lang in ("en", "ja")
                    for c in r.captions(lang)
                ),
            ]
        )
    )


@torch.inference_mode()
def fill(folder: ModelFolder, texts: Iterable[str], *, say: Any = print) -> int:
    """Encode what the store does not hold yet; returns how many those were."""
    device = torch.device("cpu")
    dtype = DTYPES[choose_dtype("auto", device)]
    store = FeatureStore(folder.hashes()["text_encoder"], dtype)
    missing = [t for t in texts if not store.has(t)]
    if not missing:
        return 0
    encoder = CaptionEncoder(folder, device=device, dtype=dtype)
    ids = [encoder.tokenizer(t, truncation=True, max_length=encoder.max_tokens)["input_ids"] for t in missing]
    order = sorted(range(len(missing)), key=lambda n: len(ids[n]))
    done = 0
    while done < len(order):
        first = len(ids[order[done]])
        batch = [n for n in order[done : done + BATCH] if len(ids[n]) == first]
        # a caption that fills the model's length may have been cut: the trainer encodes it itself, and so it does an
        # empty one
        if 0 < first < encoder.max_tokens:
            states = encoder.model(
                input_ids=torch.tensor([ids[n] for n in batch]),
                attention_mask=torch.ones(len(batch), first, dtype=torch.long),
            ).last_hidden_state
            for n, one in zip(batch, states, strict=True):
                store.put(missing[n], Feature(one.clone().contiguous(), False))
        done += len(batch)
        if done // 10_000 != (done - len(batch)) // 10_000:
            say(f"captions {done}/{len(missing)}", flush=True)
    return len(missing)
