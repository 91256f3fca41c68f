"""Stage 3: the denoiser, a PixArt transformer of 16 tokens that learns to predict v from cached latents and captions.

Sixteen tokens, v-prediction and some hundred rounds over few pictures are what two cores can do in the time of a
film; smaller patches or noise prediction gave mush (docs/decisions.md).
"""

from __future__ import annotations

import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from trainer.mini import text, vae
from trainer.mini.captions import caption
from trainer.mini.packages import STYLES
from trainer.mini.pictures import GROUNDS, concepts
from trainer.mini.state import Run, restore, save

STEPS, BATCH, PEAK, DROPPED, DECAY = 4_400, 64, 1.2e-3, 0.1, 0.999
TAKEN = 4_250  # steps after which the shipped weights were taken: the rate had fallen to 2 % by then
CONFIG = dict(
    num_attention_heads=4, attention_head_dim=64, num_layers=8, in_channels=4, out_channels=8, patch_size=4,
    sample_size=16, cross_attention_dim=256, caption_channels=text.SIZE["hidden_size"], interpolation_scale=1,
    use_additional_conditions=False,
)
SCHEDULER = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule="linear",
                 prediction_type="v_prediction", algorithm_type="dpmsolver++", solver_order=2)
CAPTIONS = 6  # per thing, style or none, ground or none: half Japanese


def build():
    """A fresh denoiser; its second four channels (learned variance in CommonArt) stay zero."""
    from diffusers import PixArtTransformer2DModel

    model = PixArtTransformer2DModel(**CONFIG)
    width = CONFIG["cross_attention_dim"]
    torch.nn.init.normal_(model.adaln_single.emb.timestep_embedder.linear_1.weight, std=0.02)
    torch.nn.init.normal_(model.adaln_single.emb.timestep_embedder.linear_2.weight, std=0.02)
    for block in model.transformer_blocks:
        torch.nn.init.zeros_(block.attn2.to_out[0].weight)
    torch.nn.init.zeros_(model.proj_out.weight)
    torch.nn.init.zeros_(model.proj_out.bias)
    assert width == CONFIG["num_attention_heads"] * CONFIG["attention_head_dim"]
    return model


class Captions:
    """Every caption the training draws from, encoded once: float16 features and their lengths, by facts."""

    def __init__(self, llm, tokenizer) -> None:
        rng = random.Random(3)
        table, self.grounds = concepts(), [None, *GROUNDS]
        texts = [caption(c, style, ground, lang, rng)
                 for c in table for style in (*range(len(STYLES)), None) for ground in self.grounds
                 for lang in ("en", "ja") for _ in range(CAPTIONS // 2)]
        lengths = [len(x) for x in tokenizer(texts)["input_ids"]]
        self.length = torch.tensor(lengths)
        self.features = torch.zeros(len(texts), max(lengths), text.SIZE["hidden_size"], dtype=torch.float16)
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        for i in range(0, len(order), 256):
            rows = order[i:i + 256]
            features, _ = text.encode(llm, tokenizer, [texts[r] for r in rows])
            self.features[rows, : features.shape[1]] = features.half()
        self.nothing = text.encode(llm, tokenizer, [""])[0][0]

    def pick(self, thing: np.ndarray, style: np.ndarray, ground: np.ndarray, which: np.ndarray) -> torch.Tensor:
        """Row numbers; ``style`` 4 and ``ground`` 0 mean not named."""
        return torch.from_numpy(((thing * (len(STYLES) + 1) + style) * len(self.grounds) + ground) * CAPTIONS + which)


def train(known: np.ndarray, work: Path, *, steps: int = STEPS, compiled: bool = False, say=print):
    """Train, resuming where the last run stopped; keeps weights averaged over time in ``work/denoiser.safetensors``.

    ``known`` is uint8 RGBA ``[concepts, styles, 64, 64, 4]``; ``compiled`` needs a C++ compiler and is a quarter faster.
    """
    coder = vae.train(known[:0], known[:0], work, steps=0)
    tokenizer, llm = text.train(work, steps=0)
    llm.eval()
    kept = work / "latents.safetensors"
    if not kept.exists():
        latents, factor = vae.encode_all(coder, known.reshape(-1, *known.shape[2:]))
        save_file({"latents": latents, "factor": torch.tensor(factor)}, kept)
    data = load_file(kept)
    latents = data["latents"] * data["factor"]  # [things * styles, grounds, 4, 16, 16]
    captions = Captions(llm, tokenizer)
    say(f"{len(captions.length)} captions, {latents.shape[0]} drawings on {latents.shape[1]} grounds", flush=True)

    torch.manual_seed(3)
    model = build()
    ema = {k: v.detach().clone() for k, v in model.named_parameters()}
    opt = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    forward = torch.compile(model) if compiled else model
    run = Run(work / "denoiser")
    start = restore(run, model, opt, ema)
    betas = torch.linspace(SCHEDULER["beta_start"], SCHEDULER["beta_end"], 1000, dtype=torch.float64)
    kept_signal = torch.cumprod(1 - betas, 0).float()
    began, total = time.monotonic(), 0.0
    for step in range(start, min(steps, TAKEN)):
        rng = np.random.default_rng((3, step))
        noise_rng = torch.Generator().manual_seed(3_000_000 + step)
        for group in opt.param_groups:
            group["lr"] = PEAK * min(1, (step + 1) / 200) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / steps)))
        thing, style = rng.integers(known.shape[0], size=BATCH), rng.integers(len(STYLES), size=BATCH)
        ground = np.where(rng.random(BATCH) < 0.7, 0, rng.integers(len(GROUNDS), size=BATCH))
        named = np.where((ground > 0) | (rng.random(BATCH) < 0.1), ground + 1, 0)
        styled = np.where(rng.random(BATCH) < 0.75, style, len(STYLES))
        rows = captions.pick(thing, styled, named, rng.integers(CAPTIONS, size=BATCH))
        length = captions.length[rows]
        features = captions.features[rows].float()  # always of full width: one compiled shape
        dropped = torch.from_numpy(rng.random(BATCH) < DROPPED)
        features[dropped, : len(captions.nothing)] = captions.nothing
        length = torch.where(dropped, len(captions.nothing), length)
        mask = torch.arange(features.shape[1]) < length[:, None]

        x = latents[torch.from_numpy(thing * len(STYLES) + style), torch.from_numpy(ground)]
        noise = torch.randn(x.shape, generator=noise_rng)
        t = torch.randint(0, 1000, (BATCH,), generator=noise_rng)
        a, s = kept_signal[t].sqrt().view(-1, 1, 1, 1), (1 - kept_signal[t]).sqrt().view(-1, 1, 1, 1)
        out = forward(a * x + s * noise, encoder_hidden_states=features, encoder_attention_mask=mask.float(), timestep=t,
                    added_cond_kwargs={}, return_dict=False)[0]
        loss = F.mse_loss(out[:, :4], a * noise - s * x)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        decay = min(DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.values()), [p.detach() for p in model.parameters()], 1 - decay)
        total += loss.item()
        if (step + 1) % 100 == 0:
            say(f"denoiser {step + 1}/{steps} loss {total / 100:.4f} {(step + 1 - start) * BATCH / (time.monotonic() - began):.0f}/s",
                flush=True)
            total = 0.0
        if (step + 1) % 250 == 0 or step + 1 == TAKEN:
            save(run, step + 1, model, opt, ema)
    save_file(ema, work / "denoiser.safetensors")
