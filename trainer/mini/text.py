"""Stage 2: the caption encoder, a plain ``LlamaForCausalLM``, trained here on the captions.

Besides words and facts it learns to foretell, at the marks that end every caption, a thumbnail of its picture
(``looks``): one mark for each token of the denoiser, which so learns one way of reading what lies where, for all
things, and not each thing by itself.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch.nn import functional as F

from trainer.mini import tokens
from trainer.mini.captions import LANGS, RELATIONS, Facts, caption, names_of
from trainer.mini.export import Icons
from trainer.mini.looks import SIDE, Looks
from trainer.mini.noise import SHARE, stand_ins, unknown
from trainer.mini.packages import STYLES
from trainer.mini.pictures import COLOURS, GROUNDS
from trainer.mini.state import Run, restore, save
from trainer.mini.things import EVERYDAY, things
from trainer.mini.tokens import GRID, MARKS

STEPS, BATCH, PEAK = 9_000, 128, 1.5e-3
CHUNKS = 4  # a batch is read in so many parts of like length: padding would be half of the work otherwise
# captions of a batch that learn to foretell their words: the vocabulary's product is a third of the work otherwise
READ = 16
NAMELESS = 0.03  # captions whose only name is made up: a bare ground
LOOK = 20.0  # weight of the share of the thumbnails' variance that is not foretold
SIZE = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


def draw_facts(rng: random.Random) -> tuple[Facts, tuple[int, ...]]:
    """Random facts and the indices of their things, none for a made-up name.

    Scenes are of everyday things, as in the pictures.
    """
    table = things()
    kind = rng.random()
    style = rng.choice([None, *range(len(STYLES))])
    ground = rng.choice(list(GROUNDS)) if rng.random() < 0.4 else None
    if rng.random() < NAMELESS:
        return Facts(names=({lang: (unknown(lang, rng),) for lang in LANGS},), style=style, ground=ground), ()
    if kind < 0.68:
        # an everyday thing every fifth time: they have the most spellings
        first = rng.randrange(EVERYDAY if rng.random() < 0.2 else len(table))
        return Facts(names=(names_of(table[first]),), style=style, ground=ground), (first,)
    first = rng.randrange(EVERYDAY)
    if kind < 0.84:
        second = rng.randrange(EVERYDAY)
        return Facts(
            names=(names_of(table[first]), names_of(table[second])),
            style=style,
            ground=ground,
            relation=rng.choice(RELATIONS),
        ), (first, second)
    if kind < 0.92:
        return Facts(names=(names_of(table[first]),), style=style, ground=ground, count=rng.randint(2, 4)), (first,)
    return Facts(names=(names_of(table[first]),), style=style, ground=ground, colour=rng.choice(list(COLOURS))), (
        first,
    )


def build(tokenizer: Any) -> Any:
    """A fresh ``LlamaForCausalLM`` for that tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=512,
            tie_word_embeddings=True,
            rms_norm_eps=1e-6,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=2,
            **SIZE,
        )
    )


def _read(llm: Any, batch: Any, reading: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features of each caption's last own token ``[n, width]`` and of its marks ``[n, marks, width]``.

    The next-token loss of the first ``reading`` (0 for none).
    """
    ids, mask = batch["input_ids"], batch["attention_mask"]
    states = llm.model(input_ids=ids, attention_mask=mask).last_hidden_state
    own = mask.sum(1) - len(MARKS)
    words = states.new_zeros(())
    if reading:
        labels = ids[:reading].masked_fill(torch.arange(ids.shape[1]) >= own[:reading, None], -100)
        words = F.cross_entropy(
            llm.lm_head(states[:reading, :-1]).flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
        )
    rows = torch.arange(len(ids))
    return states[rows, own - 1], states[rows[:, None], own[:, None] + torch.arange(len(MARKS))], words


HEADS = ("thing", "second", "style", "ground", "relation", "count", "colour")


class Heads(torch.nn.Module):
    """What the last hidden state of a caption must tell. Thrown away after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = {
            "thing": len(things()),
            "second": EVERYDAY + 1,
            "style": len(STYLES) + 1,
            "ground": len(GROUNDS) + 1,
            "relation": len(RELATIONS) + 1,
            "count": 4,
            "colour": len(COLOURS) + 1,
        }
        self.linear = torch.nn.ModuleDict({name: torch.nn.Linear(width, size) for name, size in sizes.items()})

    @staticmethod
    def targets(facts: Sequence[tuple[Facts, tuple[int, ...]]]) -> dict[str, torch.Tensor]:
        def place(value: str | None, known: Sequence[str]) -> int:
            return len(known) if value is None else list(known).index(value)

        rows = {
            "thing": [t[0] if t else -100 for _, t in facts],
            "second": [t[1] if len(t) > 1 else EVERYDAY for _, t in facts],
            "style": [len(STYLES) if f.style is None else f.style for f, _ in facts],
            "ground": [place(f.ground, list(GROUNDS)) for f, _ in facts],
            "relation": [place(f.relation, RELATIONS) for f, _ in facts],
            "count": [f.count - 1 for f, _ in facts],
            "colour": [place(f.colour, list(COLOURS)) for f, _ in facts],
        }
        return {k: torch.tensor(v) for k, v in rows.items()}

    def losses(self, ends: torch.Tensor, wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {k: F.cross_entropy(self.linear[k](ends), wanted[k]) for k in HEADS}


class Foretold(torch.nn.Module):
    """The thumbnail that a caption's marks tell of, each the part in its place. Thrown away after training."""

    VARIANCE = 0.25  # of the thumbnails' values over all things, about

    def __init__(self, width: int) -> None:
        super().__init__()
        self.part = SIDE // GRID
        self.linear = torch.nn.Linear(width, 3 * self.part**2)
        with torch.no_grad():
            self.linear.weight.mul_(0.3)

    def parts(self, looks: np.ndarray) -> torch.Tensor:
        """float32 ``[n, SIDE, SIDE, 3]`` -> ``[n, marks, 3 * part * part]``, in the marks' order."""
        n, p = len(looks), self.part
        return torch.from_numpy(looks).view(n, GRID, p, GRID, p, 3).transpose(2, 3).reshape(n, GRID * GRID, -1)

    def loss(self, marks: torch.Tensor, wanted: Sequence[np.ndarray | None]) -> torch.Tensor:
        """Share of the variance left; captions without a thumbnail do not count."""
        known = [n for n, look in enumerate(wanted) if look is not None]
        if not known:
            return marks.new_zeros(())
        target = self.parts(np.stack([look for look in wanted if look is not None]))
        return F.mse_loss(self.linear(marks[known]), target) / self.VARIANCE


def _batch(step: int, tokenizer: Any, looks: Looks) -> tuple[list[Any], ...]:
    """Step's captions by length: token numbers, facts with their things, and thumbnails."""
    rng = random.Random(2_000_000 + step)
    facts = [draw_facts(rng) for _ in range(BATCH)]
    ids = tokenizer([caption(f, rng.choice(LANGS), rng, noise=rng.random() < SHARE) for f, _ in facts])["input_ids"]
    wanted = [looks.of(f, which, rng) for f, which in facts]
    order = sorted(range(BATCH), key=lambda n: len(ids[n]))
    return tuple([part[n] for n in order] for part in (ids, facts, wanted))


def train(work: Path, icons: Icons, *, steps: int = STEPS, say: Callable[..., None] = print) -> tuple[Any, Any]:
    """Next-token loss on the captions, telling what they say, and how it looks, from the last token.

    Telling is what makes りんご, リンゴ, 林檎 and "apple" one thing to the denoiser.
    Returns the tokenizer and the language model.
    """
    torch.manual_seed(2)
    tokenizer = tokens.make(work / "tokenizer")
    llm = build(tokenizer)
    looks = Looks(icons)
    heads, foretold = Heads(SIZE["hidden_size"]), Foretold(SIZE["hidden_size"])
    model = torch.nn.ModuleDict({"llm": llm, "heads": heads, "look": foretold})
    opt = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    run = Run(work / "text")
    start = restore(run, model, opt)
    began = time.monotonic()
    for step in range(start, steps):
        for group in opt.param_groups:
            group["lr"] = (
                PEAK * min(1, (step + 1) / 100) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / steps)))
            )
        ids, facts, seen = _batch(step, tokenizer, looks)
        length = BATCH // CHUNKS
        parts = [
            _read(
                llm,
                tokenizer.pad({"input_ids": ids[n : n + length]}, return_tensors="pt"),
                READ if n == step % CHUNKS * length else 0,
            )
            for n in range(0, BATCH, length)
        ]
        ends, marks, words = (
            torch.cat([p[0] for p in parts]),
            torch.cat([p[1] for p in parts]),
            torch.stack([p[2] for p in parts]).sum(),
        )
        wanted = Heads.targets(facts)
        losses = heads.losses(ends, wanted)
        look = foretold.loss(marks, seen)
        loss = 0.3 * words + sum(losses.values()) + LOOK * look
        opt.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        if (step + 1) % 50 == 0:
            right = (heads.linear["thing"](ends).argmax(1) == wanted["thing"]).float().mean()
            say(
                f"text {step + 1}/{steps} look {look.item():.3f} words {words.item():.3f} "
                + " ".join(f"{k} {v.item():.3f}" for k, v in losses.items())
                + f" right {right:.2f} {(step + 1 - start) / (time.monotonic() - began):.1f} steps/s",
                flush=True,
            )
        if (step + 1) % 200 == 0 or step + 1 == steps:
            save(run, step + 1, model, opt)
    return tokenizer, llm


def trained(work: Path) -> Any:
    """The language model as far as it has been trained.

    Letters that training hardly ever showed by themselves (a kanji of which only whole names are made, q, x) have the
    vectors of letters of made-up words, which
    it has learned to read past: their own are as random as at the beginning, and 民主主義 would draw a blot.

    Raises:
        SystemExit: it has not been.
    """
    file = Run(work / "text").file
    if not file.is_file():
        raise SystemExit(f"the caption encoder has not been trained: {file} is missing")
    tokenizer = tokens.make(work / "tokenizer")
    llm = build(tokenizer)
    with safe_open(file, "pt") as f:
        llm.load_state_dict({name: f.get_tensor(f"model.llm.{name}") for name in llm.state_dict()})
    instead = stand_ins(tokens.unseen(tokens.words()))
    to, by = (tokenizer.convert_tokens_to_ids(list(letters)) for letters in (instead, instead.values()))
    with torch.no_grad():
        vectors = llm.get_input_embeddings().weight
        vectors[to] = vectors[by]
    return llm


@torch.no_grad()
def accuracy(
    tokenizer: Any, llm: Any, heads: Heads, *, heldout: bool, samples: int = 2_000
) -> dict[str, dict[str, float]]:
    """language -> what -> share told rightly from captions by known or by held-out templates."""
    found: dict[str, dict[str, float]] = {}
    for lang in LANGS:
        rng = random.Random(77)
        right = dict.fromkeys(HEADS, 0)
        for _ in range(samples // BATCH):
            facts = [draw_facts(rng) for _ in range(BATCH)]
            ends, _, _ = _read(
                llm,
                tokenizer(
                    [caption(f, lang, rng, heldout=heldout) for f, _ in facts], padding=True, return_tensors="pt"
                ),
            )
            for name, wanted in Heads.targets(facts).items():
                right[name] += int((heads.linear[name](ends).argmax(1) == wanted).sum())
        found[lang] = {k: round(v / (samples // BATCH * BATCH), 4) for k, v in right.items()}
    return found
