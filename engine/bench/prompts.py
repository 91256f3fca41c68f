"""Prompts for measurements: fixed lists in two languages, all different."""

from __future__ import annotations

_JA = (
    ("りんご", "寿司", "猫", "犬", "富士山", "車", "花", "木", "魚", "家", "星", "月", "船", "鳥", "傘", "本"),
    ("青い背景", "赤い背景", "黄色い背景", "緑の背景", "白い背景", "ピンクの背景", "紫の背景", "黒い背景"),
    ("フラット調", "漫画調", "シール調", "立体調"),
)
_EN = (
    (
        "a red apple",
        "sushi",
        "a cat",
        "a dog",
        "Mount Fuji",
        "a car",
        "a flower",
        "a tree",
        "a fish",
        "a house",
        "a star",
        "the moon",
        "a ship",
        "a bird",
        "an umbrella",
        "a book",
    ),
    (
        "on a blue background",
        "on a red background",
        "on a yellow background",
        "on a green background",
        "on a white background",
        "on a pink background",
        "on a purple background",
        "on a black background",
    ),
    ("flat style", "cartoon style", "sticker style", "glossy style"),
)


def prompts(count: int, start: int = 0) -> list[str]:
    """``count`` prompts from index ``start`` of an endless list, alternating Japanese and English.

    Beyond the first 1,024 they repeat with a number.
    """
    texts = []
    for n in range(start, start + count):
        subjects, backgrounds, styles = _JA if n % 2 == 0 else _EN
        k, again = (n // 2) % 512, n // 1024
        style, rest = k % 4, k // 4
        text = ("、" if n % 2 == 0 else ", ").join((subjects[rest % 16], styles[style], backgrounds[rest // 16]))
        texts.append(text + (f" {again}" if again else ""))
    return texts
