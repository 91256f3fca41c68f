"""The tokenizer: a unigram model whose words are known beforehand, so that every name is one token wherever it stands.

Of a caption's segmentations the one of fewest words wins: ``いぬのひだりにねこ`` is いぬ, の, ひだり, に, ねこ. What is no word falls
into characters, and what is no known character into bytes. What a name of one token means is kept in its own vector; of
a name of seven characters the layers would have to read it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trainer.mini.captions import NUMBERS, TABLES, TAILS, plural
from trainer.mini.packages import STYLES
from trainer.mini.pictures import COLOURS, GROUNDS
from trainer.mini.things import things

SPECIAL = ("<s>", "</s>", "<pad>", "<unk>")
GRID = 4  # the denoiser's tokens a side: 128 pixels, an eighth of them in latents, four of those a patch
#: : At the end of every caption, one mark for each token of the picture, from the top left: there the encoder foretells
#: what that part will show.
MARKS = tuple(f"<part {y} {x}>" for y in range(GRID) for x in range(GRID))
MAX_TOKENS = 64 + len(MARKS)
SPACE = "▁"  # as SentencePiece writes the space before a word
WORD, CHARACTER, BYTE = (
    -10.0,
    -11.0,
    -14.0,
)  # log-probabilities: few words before many, words before characters, anything before bytes


def folded(text: str) -> str:
    """As the tokenizer reads it: compatibility forms and capitals folded."""
    return unicodedata.normalize("NFKC", text).lower()


def _phrases() -> Iterator[str]:
    """Names and their plurals, styles, colours, numbers, and the literal parts of the templates."""
    for thing in things():
        yield from (*thing.en, *thing.ja, *(plural(n) for n in thing.en))
    for style in STYLES:
        yield from (*style.en, *style.ja)
    for _, english, japanese in (*GROUNDS.values(), *COLOURS.values()):
        yield from (
            *english,
            *japanese,
            *(j.removesuffix("色") for j in japanese),
            *(f"{j}色" for j in japanese if len(j) == 1),
        )
    for table in NUMBERS.values():
        for words in table.values():
            yield from words
    # the last template of each kind is held out from training, and so are its words
    literal = [t for table in TABLES for known in table.values() for t in known[:-1]] + [
        t for tails in TAILS.values() for t in tails.values()
    ]
    for text in literal:
        yield from re.split(r"\{\w+\}|[、, ]", text)
    yield from (
        "の",
        "に",
        "は",
        "を",
        "で",
        "と",
        "が",
        "も",
        "背景",
        "色",
        "つ",
        "右",
        "左",
        "上",
        "下",
        "a",
        "an",
        "and",
        "of",
    )


def words() -> list[str]:
    """The vocabulary's words.

    One that begins with a Latin letter stands for itself behind a space, and so does each of its parts.
    """
    found: set[str] = set()
    for phrase in map(folded, _phrases()):
        if re.match(r"[a-z0-9]", phrase):
            found |= {SPACE + p for p in (phrase.replace(" ", SPACE), *phrase.split())}
        elif phrase:
            found.add(phrase.replace(" ", SPACE))
    return sorted(found)


def letters(known: Iterable[str]) -> list[str]:
    """The characters that are tokens without being words."""
    shown = {chr(c) for c in (*range(0x21, 0x7F), *range(0x3041, 0x3097), *range(0x30A1, 0x30FD))}
    return sorted(({c for w in known for c in w} | shown | {SPACE, "、", "。"}) - set(known))


def unseen(known: Iterable[str]) -> list[str]:
    """Those of the letters that no caption of known words has by themselves.

    Numbers have digits, and a Japanese name that begins like an English one (Tシャツ, 6時半) falls into its letters where no
    space is before it.
    """
    known = set(known)
    seen = {c for w in known if w.startswith(SPACE) for c in w if not c.isascii()} | set("0123456789")
    return [c for c in letters(known) if c.isalnum() and c not in seen]


def vocabulary() -> list[tuple[str, float]]:
    """All tokens with their scores; the order is their numbers."""
    known = words()
    # of equal counts the longer words win, by a hair: a name before its parts
    return [
        *((t, 0.0) for t in SPECIAL),
        *((f"<0x{b:02X}>", BYTE) for b in range(256)),
        *((c, CHARACTER) for c in letters(known)),
        *((w, WORD + 0.01 * len(w)) for w in known),
        *((m, -100.0) for m in MARKS),
    ]


def make(folder: Path) -> Any:
    """The ``PreTrainedTokenizerFast``; written to ``folder`` too, or read from there."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    if (folder / "tokenizer_config.json").is_file():  # the last file written: it was finished before
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    known = vocabulary()
    number = {token: n for n, (token, _) in enumerate(known)}
    tokenizer = Tokenizer(models.Unigram(known, unk_id=number["<unk>"], byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteFallback(),
            decoders.Metaspace(replacement=SPACE, prepend_scheme="always", split=False),
            decoders.Fuse(),
        ]
    )
    tokenizer.add_special_tokens(
        list(MARKS)
    )  # told by tokenizer.json alone: the engine then reads it without transformers
    around = ("<s>", *MARKS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["<s>", "$A", *MARKS], special_tokens=[(t, number[t]) for t in around]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side="right",
        model_max_length=MAX_TOKENS,
    )
    fast.save_pretrained(folder)
    return fast
