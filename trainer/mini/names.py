"""``python -m trainer.mini.names --packages DIR``: write ``things.csv``, every thing the model may draw with its names
in two languages.

Run once, then looked over by hand; the recipe itself only reads the table. Names come from three places, never from
guesses: those written by hand in ``concepts.toml``; labels of emojibase, put into plain word order; and keywords of
emojibase that belong to one thing alone and are part of its label, or sound like it (人参, ニンジン). Readings are Janome's
(Apache-2.0), needed for this only.
"""

from __future__ import annotations

import argparse
import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainer.mini.packages import NAMES, STYLES, read_json
from trainer.mini.pictures import bare, concepts, icon_names
from trainer.mini.things import TABLE

#: Whole people and animals beside the faces that took the short name, and labels no one would type.
BY_HAND = {
    "1f408": (["whole cat", "standing cat"], ["全身の猫", "立っている猫"]),
    "1f415": (["whole dog", "standing dog"], ["全身の犬", "立っている犬"]),
    "1f43b": (["bear", "bear face"], ["クマ", "くま", "熊"]),
    "1f404": (["whole cow", "standing cow"], ["全身の牛", "立っている牛"]),
    "1f416": (["whole pig", "standing pig"], ["全身の豚", "立っている豚"]),
    "1f40e": (["whole horse", "running horse"], ["全身の馬", "走る馬"]),
    "1f405": (["whole tiger", "standing tiger"], ["全身の虎", "立っている虎"]),
    "1f401": (["whole mouse"], ["全身のねずみ", "全身のネズミ"]),
    "1f407": (["whole rabbit"], ["全身のうさぎ", "全身のウサギ"]),
    "1f412": (["whole monkey"], ["全身の猿", "全身のサル"]),
    "1f604": (["grinning face with smiling eyes"], ["目を細めて笑う顔", "にっこり笑顔"]),
    "263a": (["relaxed smiling face", "relaxed face"], ["スマイリー", "ほっとした笑顔"]),
    "1f622": (["face with one tear", "teary face"], ["涙を流す顔", "涙目の顔"]),
    "1f463": (["footprints"], ["人の足跡", "人の足あと"]),
    "1f400": (["rat"], ["どぶねずみ", "ドブネズミ"]),
    "1f40b": (["whole whale", "big whale"], ["大きなクジラ", "大きなくじら", "大きな鯨"]),
    "1f344-200d-1f7eb": (["brown mushroom"], ["茶色いきのこ", "茶色のきのこ"]),
    "26f0": (["bare mountain", "rocky mountain"], ["岩山", "雪のない山"]),
    "1f683": (["railway car", "train car"], ["鉄道車両", "一両の電車"]),
    "1f6f3": (["passenger ship", "cruise ship"], ["旅客船", "豪華客船"]),
    "2603": (["snowman in snow", "snowy snowman"], ["雪の中の雪だるま", "雪だるまと雪"]),
    "1fa81": (["kite"], ["凧", "凧あげの凧"]),
    "2665": (["heart suit", "card heart"], ["トランプのハート", "ハートのマーク"]),
    "2618": (["shamrock"], ["三つ葉", "シャムロック", "三つ葉のクローバー"]),
    "1f6ae": (["litter in bin sign"], ["ゴミ箱のマーク", "ごみ箱のマーク"]),
    "1f409": (["whole dragon"], ["全身のドラゴン", "全身の竜"]),
}
_DROPPED_GROUPS = (None, 2)  # regional letters, skin tones and hair: parts, not things
_HAIR = {
    "beard": "with a beard",
    "red hair": "with red hair",
    "curly hair": "with curly hair",
    "white hair": "with white hair",
    "blond hair": "with blond hair",
}


def _kana(text: str) -> Iterable[str]:
    """A word written in one kana, also in the other."""
    if re.fullmatch(r"[ァ-ヶー]{1,4}", text):  # longer ones are loan words, which nobody writes so
        yield "".join(chr(ord(c) - 0x60) if c != "ー" else c for c in text)
    if re.fullmatch(r"[ぁ-ゖー]+", text):
        yield "".join(chr(ord(c) + 0x60) if c != "ー" else c for c in text)


class _Readings:
    def __init__(self) -> None:
        from janome.tokenizer import Tokenizer

        self._tokenizer: Any = Tokenizer()

    def of(self, word: str) -> str | None:
        """In katakana; None where a piece has no reading."""
        found = []
        for token in self._tokenizer.tokenize(word):
            plain = re.sub("[ぁ-ゖ]", lambda m: chr(ord(m[0]) + 0x60), token.surface)
            found.append(plain if re.fullmatch("[ァ-ヶー]+", plain) else token.reading)
        return None if "*" in found else "".join(found)


def plain_en(label: str) -> list[str]:
    """An emojibase label in plain word order, the most usual first."""
    label = unicodedata.normalize("NFC", label.replace("“", "").replace("”", "").replace("’", "'").replace("!", ""))
    head, colon, tail = label.partition(": ")
    if head == "flag":
        return [f"flag of {tail}", f"{tail} flag"]
    if colon and tail in _HAIR:
        return [f"{head} {_HAIR[tail]}"]
    if tail == "bald":
        return [f"bald {head}"]
    if match := re.fullmatch(r"(.+) button \(blood type\)", label):
        return [f"blood type {match[1]}"]
    return [f"{head} {tail}" if colon else label]


def plain_ja(label: str, *, country: bool) -> list[str]:
    """The same in Japanese."""
    label = unicodedata.normalize("NFKC", label)
    head, colon, tail = label.partition(": ")
    if head == "旗":
        return [f"{tail}の国旗", f"{tail}の旗"] if country else [f"{tail}の旗"]
    if head == "囲み数字":
        return [f"囲み数字{tail}"]
    if colon:
        return [f"{tail}の{head}"]
    if match := re.fullmatch(r"(.+?)\((.+)\)", label):
        return [f"{match[2]}の{match[1]}"]
    return [label]


def _dropped(row: dict[str, Any], code: str) -> bool:
    label = row["label"]
    return (
        row.get("group") in _DROPPED_GROUPS
        or label.startswith(("family:", "kiss:", "couple with heart:"))
        or label in ("keycap: #", "keycap: *")
    )


def table(packages: Path) -> list[dict[str, str]]:
    """The rows of ``things.csv``: those written by hand first, in their order, then emojibase's order.

    Raises:
        SystemExit: two things would share a name; it is listed, to be mended in ``BY_HAND``.
    """
    english = {bare(e["hexcode"]): e for e in read_json(NAMES, "en/data.json", packages)}
    japanese = {bare(e["hexcode"]): e for e in read_json(NAMES, "ja/data.json", packages)}
    drawn, reading = icon_names(packages), _Readings()
    hand = {c.hex: c for c in concepts()}
    owners = Counter(
        fold(w) for rows in (english, japanese) for e in rows.values() for w in {e["label"], *e.get("tags", ())}
    )
    taken = {fold(n) for c in hand.values() for n in (*c.en, *c.ja)} | {
        fold(n) for en, ja in BY_HAND.values() for n in (*en, *ja)
    }
    rows, clashes = [], []
    for code in [*hand, *(c for c in sorted(english, key=lambda c: english[c].get("order", 0)) if c not in hand)]:
        styles = "".join(s.key[0] for s in STYLES if code in drawn[s.key])
        if not styles or _dropped(english[code], code):
            continue
        if code in hand:
            en, ja = list(hand[code].en), list(hand[code].ja)
        elif code in BY_HAND:
            en, ja = BY_HAND[code]
        else:
            e, j = english[code], japanese[code]
            en, ja = plain_en(e["label"]), plain_ja(j["label"], country=e.get("subgroup") == 98)
            en += [
                t
                for t in e.get("tags", ())
                if owners[fold(t)] == 1
                and len(t) > 2
                and fold(en[0]).endswith(f" {fold(t)}")
                and not en[0].startswith("no ")
            ]
            ja += [k for n in ja for k in _kana(n)]
            sound = {reading.of(n) for n in ja} - {None}
            for tag in (unicodedata.normalize("NFKC", t) for t in j.get("tags", ())):
                if owners[fold(tag)] <= 1 and len(tag) > 1 and (tag in ja[0] or reading.of(tag) in sound):
                    ja += [tag, *_kana(tag)]
                elif reading.of(tag) in sound and owners[fold(tag)] <= 2:
                    ja.append(tag)
            en, ja = ([n for n in dict.fromkeys(names) if fold(n) not in taken] for names in (en, ja))
            if not en or not ja:
                clashes.append(f"{code} {e['label']} / {j['label']}: {en} {ja}")
                continue
            taken |= {fold(n) for n in (*en, *ja)}
        rows.append(
            {
                "hex": code,
                "styles": styles,
                "group": str(english[code].get("group", "")),
                "en": "|".join(en),
                "ja": "|".join(ja),
            }
        )
    if clashes:
        raise SystemExit("no name of their own:\n" + "\n".join(clashes))
    return rows


def fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m trainer.mini.names", description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="where the npm packages lie")
    rows = table(parser.parse_args().packages)
    with TABLE.open("w", encoding="utf-8", newline="\n") as f:
        writer = csv.DictWriter(f, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
