"""Stage 2: the caption encoder, a plain ``LlamaForCausalLM`` and its tokenizer, trained here on the captions."""

from __future__ import annotations

import math
import random
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from trainer.mini.captions import caption
from trainer.mini.packages import STYLES
from trainer.mini.pictures import GROUNDS, concepts
from trainer.mini.state import Run, restore, save

STEPS, BATCH, PEAK = 600, 64, 2e-3
MAX_TOKENS = 64
VOCABULARY = 3_000
SIZE = dict(hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4)
Facts = tuple[int, int | None, str | None]


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
    table = concepts()
    corpus = [caption(c, rng.choice([None, *range(len(STYLES))]), rng.choice([None, *GROUNDS]), lang, rng)
              for c in table for lang in ("en", "ja") for _ in range(60)]
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


def draw_facts(count: int, rng: random.Random, things: int) -> list[Facts]:
    """Random (thing, style or none, ground or none)."""
    return [(rng.randrange(things), rng.choice([None, *range(len(STYLES))]),
             rng.choice(list(GROUNDS)) if rng.random() < 0.5 else None) for _ in range(count)]


class Heads(torch.nn.Module):
    """What the last hidden state of a caption must tell: its thing, style and ground. Thrown away after training."""

    def __init__(self, width: int, things: int) -> None:
        super().__init__()
        self.thing = torch.nn.Linear(width, things)
        self.style = torch.nn.Linear(width, len(STYLES) + 1)
        self.ground = torch.nn.Linear(width, len(GROUNDS) + 1)


def train(work: Path, *, steps: int = STEPS, say=print):
    """Next-token loss on the captions, plus telling thing, style and ground from the last token.

    The second part is what makes りんご, リンゴ, 林檎 and "apple" one thing to the denoiser.
    Returns the tokenizer and the language model.
    """
    torch.manual_seed(2)
    table, grounds = concepts(), list(GROUNDS)
    tokenizer = train_tokenizer(work / "tokenizer")
    model = torch.nn.ModuleDict({"llm": build(tokenizer)})
    model["heads"] = Heads(SIZE["hidden_size"], len(table))
    opt = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run(work / "text")
    start = restore(run, model, opt)
    began = time.monotonic()
    for step in range(start, steps):
        rng = random.Random(2_000_000 + step)
        for group in opt.param_groups:
            group["lr"] = PEAK * min(1, (step + 1) / 100) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * step / steps)))
        facts = draw_facts(BATCH, rng, len(table))
        texts = [caption(table[c], s, g, rng.choice(("en", "ja")), rng) for c, s, g in facts]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        ids, mask = batch["input_ids"], batch["attention_mask"]
        out = model["llm"](input_ids=ids, attention_mask=mask, output_hidden_states=True)
        labels = ids.masked_fill(mask == 0, -100)
        words = F.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        last = out.hidden_states[-1][torch.arange(len(ids)), mask.sum(1) - 1]
        heads = model["heads"]
        thing = F.cross_entropy(heads.thing(last), torch.tensor([c for c, _, _ in facts]))
        style = F.cross_entropy(heads.style(last), torch.tensor([len(STYLES) if s is None else s for _, s, _ in facts]))
        ground = F.cross_entropy(heads.ground(last), torch.tensor([len(grounds) if g is None else grounds.index(g) for _, _, g in facts]))
        loss = 0.3 * words + thing + style + ground
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        if (step + 1) % 100 == 0:
            right = (heads.thing(last).argmax(1) == torch.tensor([c for c, _, _ in facts])).float().mean()
            say(f"text {step + 1}/{steps} words {words.item():.3f} thing {thing.item():.3f} ({right:.2f}) style {style.item():.3f} "
                f"ground {ground.item():.3f} {(step + 1 - start) / (time.monotonic() - began):.1f} steps/s", flush=True)
        if (step + 1) % 200 == 0 or step + 1 == steps:
            save(run, step + 1, model, opt)
    return tokenizer, model["llm"]
