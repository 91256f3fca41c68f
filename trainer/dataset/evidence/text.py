"""Mentions of a licence in running text: captions, notes, readme files, copyright lines of an image."""

from __future__ import annotations

import re

_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*(.*?)[ \t]*(?:\*/|-->)?[ \t]*$", re.M | re.I)
_LINE = re.compile(
    r"^[ \t#*/;>\-]*(?:\**(?:licen[cs]e|licen[cs]ed under|rights|usage ?terms|terms of use"
    r"|ライセンス|利用条件|利用許諾|権利)\**)"
    r"[ \t]*[:=:][ \t]*[\"'*]*(.*?)[\"'*,]*[ \t]*$",
    re.M | re.I,
)
_URL = re.compile(
    r"(?:https?:)?(?://)?(?:www\.)?(?:creativecommons\.org/(?:licenses|publicdomain)/|opendatacommons\.org/licenses/"
    r"|opensource\.org/licen|spdx\.org/licenses/|apache\.org/licenses/|gnu\.org/licenses/|rightsstatements\.org/"
    r"|unlicense\.org|artlibre\.org/licence|flickr\.com/commons/usage)[^\s\"'<>()\[\]{}、。「」]*",
    re.I,
)
_CC = re.compile(
    r"(?<![\w\-])(?:CC0|CC[ \-_]?(?:BY|NC|ND|SA|PDM)(?:[ \-_]?(?:NC|ND|SA))*)(?:[ \-_]?v?\d\.\d)?[\w.\-]*(?<![.\-])",
    re.I,
)
_CREATIVE = re.compile(
    r"creative commons(?:[ \t\-]+(?:attribution|non[ \-]?commercial|no[ \-]?deriv\w*|share[ \-]?alike"
    r"|zero|cc0|by|nc|nd|sa)\b)*"
    r"(?:[ \t]+v?\d\.\d)?(?:[ \t]+(?:international|unported|generic|universal|public|licen[cs]e)\b)*",
    re.I,
)
_RESERVED = re.compile(
    r"all rights reserved|rights[ \-]managed|editorial use only|personal use only|non[ \-]?commercial use|for"
    r" non[ \-]?commercial"
    r"|not for commercial|no commercial|no derivatives"
    r"|無断(?:転載|使用|複製)|転載禁止|商用(?:利用)?(?:不可|禁止)|非商用|非営利",
    re.I,
)
_COPYRIGHT_ONLY = re.compile(
    r"(?:(?:©|\(c\)|copyright|著作権(?:者)?|\d{4}(?:\s*[-–,]\s*\d{4})*|by|:|:|,|\.)\s*)+[^\s;|]+(?:\s[^\s;|]+){0,7}",
    re.I,
)
_SIGN = re.compile(r"©|\(c\)|copyright|著作権", re.I)
_GRANT = re.compile(
    r"\b(?:us(?:e|ed|es|age)|free|licen\w*|permi\w*|allow\w*|only|commercial\w*|terms|restrict\w*|see|not|no)\b"
    r"|許|利用|使用|可|禁|自由",
    re.I,
)


# every match of the patterns above contains one of these
_SIGNS = (
    "licen", "rights", "terms", "ライセンス", "利用", "権利", "cc", "commons", "org/", "unlicense.org",
    "editorial use only", "personal use only", "commercial", "no derivatives", "無断", "転載禁止", "商用", "非営利",
)  # fmt: skip


def mentions(text: str) -> list[str]:
    """Every piece of ``text`` that states a licence or reserves rights, verbatim.

    A mention need not be understood.
    """
    low = text.lower()
    if not any(sign in low for sign in _SIGNS):  # most texts: quicker than the patterns
        return []
    matches = labelled(text)
    rest = _LINE.sub("", _TAG.sub("", text))
    for pattern in (_URL, _CC, _CREATIVE, _RESERVED):
        matches += [m[0].rstrip(".,;:!?*_") for m in pattern.finditer(rest)]
        rest = pattern.sub(" ", rest)
    return list(dict.fromkeys(f for f in (" ".join(f.split()) for f in matches) if f))


def labelled(text: str) -> list[str]:
    """The text after ``SPDX-License-Identifier:``, ``License:`` or ``ライセンス:`` on a line of its own."""
    matches = [m[1] for m in _TAG.finditer(text)]
    matches += [m[1] for m in _LINE.finditer(_TAG.sub("", text))]
    return [f for f in matches if f.strip()]


def is_copyright_notice(text: str) -> bool:
    """``© 2024 Jane Doe`` and nothing else: it names the holder of the rights, and grants and denies nothing."""
    text = " ".join(text.split())
    return bool(
        _SIGN.search(text) and not mentions(text) and not _GRANT.search(text) and _COPYRIGHT_ONLY.fullmatch(text)
    )
