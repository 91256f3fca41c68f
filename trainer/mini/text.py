"""Stage 2: the caption encoder, a plain ``LlamaForCausalLM`` and its tokenizer, trained here on the captions.

It goes on from a smaller vocabulary's encoder where one is given: tokens that both know keep their vectors, and captions that the
former encoder knew are held to the features it gave them, so that a denoiser trained on these still reads them.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional as F

from trainer.mini.captions import LANGS, RELATIONS, Facts, caption
from trainer.mini.packages import STYLES
from trainer.mini.pictures import COLOURS, GROUNDS
from trainer.mini.state import Run, restore, save
from trainer.mini.things import EVERYDAY, Thing, things

STEPS, BATCH, PEAK = 1_600, 64, 1.5e-3
READ = 16  # captions of a batch that learn to foretell their words: the vocabulary's product is a third of the work otherwise
MAX_TOKENS = 64
VOCABULARY = 6_000
ANCHOR = 0.5  # weight of staying near the former encoder
SIZE = dict(hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4)


def names_of(thing: Thing) -> dict[str, Sequence[str]]:
    return {lang: thing.names(lang) for lang in LANGS}


def draw_facts(rng: random.Random) -> tuple[Facts, tuple[int, ...]]:
    """Random facts and the indices of their things; scenes are of everyday things, as in the pictures."""
    table = things()
    kind = rng.random()
    style = rng.choice([None, *range(len(STYLES))])
    ground = rng.choice(list(GROUNDS)) if rng.random() < 0.4 else None
    if kind < 0.6:
        # an everyday thing every third time: they have the most spellings
        first = rng.randrange(EVERYDAY if rng.random() < 0.33 else len(table))
        return Facts(names=(names_of(table[first]),), style=style, ground=ground), (first,)
    first = rng.randrange(EVERYDAY)
    if kind < 0.8:
        second = rng.randrange(EVERYDAY)
        return Facts(names=(names_of(table[first]), names_of(table[second])), style=style, ground=ground, relation=rng.choice(RELATIONS)), (first, second)
    if kind < 0.9:
        return Facts(names=(names_of(table[first]),), style=style, ground=ground, count=rng.randint(2, 4)), (first,)
    return Facts(names=(names_of(table[first]),), style=style, ground=ground, colour=rng.choice(list(COLOURS))), (first,)


def train_tokenizer(folder: Path):
    """A byte-level BPE: one kana or kanji at a time, Latin words by their pieces, small letters, NFKC."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if (folder / "tokenizer_config.json").is_file():  # the last file written: it was finished before
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"[\p{Han}\p{Hiragana}\p{Katakana}ー、。]"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    rng = random.Random(2)
    corpus = [caption(Facts(names=(names_of(t),), style=rng.choice([None, *range(len(STYLES))]), ground=rng.choice([None, *GROUNDS])), lang, rng)
              for t in things() for lang in LANGS for _ in range(20)]
    corpus += [caption(draw_facts(rng)[0], lang, rng) for lang in LANGS for _ in range(20_000)]
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
                                   padding_side="right", model_max_length=MAX_TOKENS)
    fast.save_pretrained(folder)
    return fast


def build(tokenizer):
    """A fresh ``LlamaForCausalLM`` for that tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=512, tie_word_embeddings=True, rms_norm_eps=1e-6,
        bos_token_id=0, eos_token_id=1, pad_token_id=2, **SIZE))


class Former:
    """The encoder to go on from, frozen: what it made of a caption's end, and the vectors of its tokens."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer, LlamaForCausalLM

        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        self.llm = LlamaForCausalLM.from_pretrained(folder / "text_encoder", local_files_only=True, use_safetensors=True, dtype=torch.float32)
        self.llm.eval().requires_grad_(False)

    def into(self, llm, tokenizer) -> int:
        """Copy all layers, and the vectors of tokens that both know; returns how many those are."""
        llm.model.layers.load_state_dict(self.llm.model.layers.state_dict())
        llm.model.norm.load_state_dict(self.llm.model.norm.state_dict())
        old, new = self.llm.get_input_embeddings().weight, llm.get_input_embeddings().weight
        known = self.tokenizer.get_vocab()
        shared = [(i, known[t]) for t, i in tokenizer.get_vocab().items() if t in known]
        with torch.no_grad():
            new.normal_(float(old.mean()), float(old.std()))
            new[[i for i, _ in shared]] = old[[j for _, j in shared]]
        return len(shared)

    @torch.no_grad()
    def ends(self, texts: list[str]) -> torch.Tensor:
        """float32 ``[n, width]``: the last token's features."""
        return _ends(self.llm, self.tokenizer(texts, padding=True, return_tensors="pt"))[0]


def _ends(llm, batch, reading: int = 0):
    """The last token's features ``[n, width]``, and the next-token loss of the first ``reading`` captions (0 for none)."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    states = llm.model(input_ids=ids, attention_mask=mask).last_hidden_state
    words = states.new_zeros(())
    if reading:
        labels = ids[:reading].masked_fill(mask[:reading] == 0, -100)
        words = F.cross_entropy(llm.lm_head(states[:reading, :-1]).flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    return states[torch.arange(len(ids)), mask.sum(1) - 1], words


HEADS = ("thing", "second", "style", "ground", "relation", "count", "colour")


class Heads(torch.nn.Module):
    """What the last hidden state of a caption must tell. Thrown away after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = dict(thing=len(things()), second=EVERYDAY + 1, style=len(STYLES) + 1, ground=len(GROUNDS) + 1, relation=len(RELATIONS) + 1, count=4,
                     colour=len(COLOURS) + 1)
        self.linear = torch.nn.ModuleDict({name: torch.nn.Linear(width, size) for name, size in sizes.items()})

    @staticmethod
    def targets(facts: Sequence[tuple[Facts, tuple[int, ...]]]) -> dict[str, torch.Tensor]:
        def place(value: str | None, known: Sequence[str]) -> int:
            return len(known) if value is None else list(known).index(value)

        rows = {
            "thing": [t[0] for _, t in facts], "second": [t[1] if len(t) > 1 else EVERYDAY for _, t in facts],
            "style": [len(STYLES) if f.style is None else f.style for f, _ in facts], "ground": [place(f.ground, list(GROUNDS)) for f, _ in facts],
            "relation": [place(f.relation, RELATIONS) for f, _ in facts], "count": [f.count - 1 for f, _ in facts],
            "colour": [place(f.colour, list(COLOURS)) for f, _ in facts]}
        return {k: torch.tensor(v) for k, v in rows.items()}

    def losses(self, ends: torch.Tensor, wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {k: F.cross_entropy(self.linear[k](ends), wanted[k]) for k in HEADS}


def train(work: Path, *, former: Path | None = None, steps: int = STEPS, say=print):
    """Next-token loss on the captions, plus telling what they say from the last token.

    The second part is what makes りんご, リンゴ, 林檎 and "apple" one thing to the denoiser.
    Returns the tokenizer and the language model.
    """
    torch.manual_seed(2)
    tokenizer = train_tokenizer(work / "tokenizer")
    llm = build(tokenizer)
    before = Former(former) if former else None
    if before:
        say(f"text: {before.into(llm, tokenizer)} of {len(tokenizer)} tokens were known", flush=True)
    model = torch.nn.ModuleDict({"llm": llm})
    model["heads"] = Heads(SIZE["hidden_size"])
    opt = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run(work / "text")
    start = restore(run, model, opt)
    began = time.process_time()
    for step in range(start, steps):
        rng = random.Random(2_000_000 + step)
        for group in opt.param_groups:
            group["lr"] = PEAK * min(1, (step + 1) / 100) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / steps)))
        facts = [draw_facts(rng) for _ in range(BATCH)]
        texts = [caption(f, rng.choice(LANGS), rng) for f, _ in facts]
        ends, words = _ends(llm, tokenizer(texts, padding=True, return_tensors="pt"), READ)
        wanted = Heads.targets(facts)
        losses = model["heads"].losses(ends, wanted)
        loss = 0.3 * words + sum(losses.values())
        known = [n for n, (f, t) in enumerate(facts) if t[0] < EVERYDAY and not f.relation and f.count == 1 and not f.colour]
        if before and known:
            loss = loss + ANCHOR * F.mse_loss(ends[known], before.ends([texts[n] for n in known]))
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        if (step + 1) % 100 == 0:
            right = (model["heads"].linear["thing"](ends).argmax(1) == wanted["thing"]).float().mean()
            say(f"text {step + 1}/{steps} words {words.item():.3f} " + " ".join(f"{k} {v.item():.3f}" for k, v in losses.items())
                + f" right {right:.2f} {(step + 1 - start) / (time.process_time() - began):.1f} steps/s", flush=True)
        if (step + 1) % 200 == 0 or step + 1 == steps:
            save(run, step + 1, model, opt)
    return tokenizer, llm


@torch.no_grad()
def accuracy(tokenizer, llm, heads: Heads, *, heldout: bool, samples: int = 2_000) -> dict[str, dict[str, float]]:
    """language -> what -> share told rightly from captions by known or by held-out templates."""
    found: dict[str, dict[str, float]] = {}
    for lang in LANGS:
        rng = random.Random(77)
        right = dict.fromkeys(HEADS, 0)
        for _ in range(samples // BATCH):
            facts = [draw_facts(rng) for _ in range(BATCH)]
            ends, _ = _ends(llm, tokenizer([caption(f, lang, rng, heldout=heldout) for f, _ in facts], padding=True, return_tensors="pt"))
            for name, wanted in Heads.targets(facts).items():
                right[name] += int((heads.linear[name](ends).argmax(1) == wanted).sum())
        found[lang] = {k: round(v / (samples // BATCH * BATCH), 4) for k, v in right.items()}
    return found
