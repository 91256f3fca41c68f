"""Parse SPDX licence expressions into classes that a policy has rules for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from engine.contract.errors import Phrase

CLASSES = {
    "public-domain": "CC0, Public Domain Mark, PDDL and the like: no conditions",
    "public-domain-us": "works of the US government: free in the USA, not everywhere",
    "no-known-copyright": "no known copyright restrictions: an opinion, not a licence",
    "by": "the creator must be named (CC-BY and all that contain it)",
    "permissive": "MIT, Apache-2.0, BSD and the like: keep the notice",
    "sa": "what is made of it must carry the same licence (CC-BY-SA, GPL, ODbL)",
    "nd": "changed versions may not be passed on",
    "nc": "not for commercial use",
    "own": "LicenseRef-Own...: the rights are yours",
    "unknown": "NONE, NOASSERTION, any other LicenseRef-, and licences this program does not know well enough",
}
US_GOVERNMENT = "LicenseRef-US-Government-Work"
NO_KNOWN_COPYRIGHT = "LicenseRef-No-Known-Copyright-Restrictions"
OWN = "LicenseRef-Own"

_PUBLIC = {"CC0-1.0", "CC-PDM-1.0", "CC-PDDC", "PDDL-1.0", "Unlicense", "0BSD", "WTFPL", "MIT-0"}
_PERMISSIVE = {
    "MIT",
    "Apache-2.0",
    "Apache-1.1",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-3-Clause-Clear",
    "ISC",
    "Zlib",
    "BSL-1.0",
    "X11",
    "OFL-1.1",
    "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0",
    "BlueOak-1.0.0",
    "AFL-3.0",
    "PSF-2.0",
    "Python-2.0",
    "NCSA",
    "curl",
    "Unicode-3.0",
    "Unicode-DFS-2016",
}
_BY = {"ODC-By-1.0", "etalab-2.0", "OGL-UK-1.0", "OGL-UK-2.0", "OGL-UK-3.0", "OGL-Canada-2.0"}
_SHARE_ALIKE = re.compile(
    r"^(GPL|LGPL|AGPL|GFDL|MPL|EPL|EUPL|OSL|ODbL|CDLA-Sharing|LAL|FreeArt|CECILL|MS-RL|CPAL)-|^copyleft-next", re.I
)
_REFS = {
    US_GOVERNMENT.lower(): "public-domain-us",
    "licenseref-scancode-us-govt-public-domain": "public-domain-us",
    NO_KNOWN_COPYRIGHT.lower(): "no-known-copyright",
    "licenseref-scancode-public-domain": "public-domain",
}
_MAX = 1000  # characters of an expression
# where Creative Commons licences were adapted to the law of a country ("ported"), and two of their own kind
CC_PORTS = (
    "ar", "at", "au", "az", "be", "bg", "br", "ca", "ch", "cl", "cn", "co", "cr", "cz", "de", "dk", "ec", "ee", "eg",
    "es", "fi", "fr", "ge", "gr", "gt", "hk", "hr", "hu", "ie", "igo", "il", "in", "it", "jp", "kr", "lu", "mk",
    "mt", "mx", "my", "nl", "no", "nz", "pe", "ph", "pl", "pr", "pt", "ro", "rs", "scotland", "se", "sg", "si", "th",
    "tw", "ug", "uk", "us", "ve", "vn", "za",
)  # fmt: skip
CC_TERMS = ("by", "by-nc", "by-nd", "by-sa", "by-nc-nd", "by-nc-sa", "by-nd-nc", "nc", "nd", "sa", "nc-sa", "nd-nc")
CC_ID = re.compile(
    rf"(?:LicenseRef-)?CC-({'|'.join(CC_TERMS)})-(?:1\.0|2\.0|2\.1|2\.5|3\.0|4\.0)(?:-(?:{'|'.join(CC_PORTS)}))?", re.I
)


@dataclass(frozen=True)
class Choice:
    """One alternative of an expression: all these licences apply together."""

    licences: tuple[str, ...]  # SPDX ids, sorted; "X WITH Y" unchanged
    classes: tuple[str, ...]  # sorted


@dataclass(frozen=True)
class Expression:
    """A parsed expression: its usual spelling, and the ways it may be chosen (one, unless there is an OR)."""

    text: str
    choices: tuple[Choice, ...]


@cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


@cache
def spdx_ids() -> dict[str, str]:
    """Lower-case SPDX id -> its usual spelling."""
    return {key.lower(): key for key in _licensing().known_symbols}


def classes_of(licence: str) -> frozenset[str]:
    """The classes of one SPDX id or LicenseRef."""
    low = licence.lower()
    if low in _REFS:
        return frozenset({_REFS[low]})
    if low == OWN.lower() or low.startswith(OWN.lower() + "-"):
        return frozenset({"own"})
    if licence in _PUBLIC:
        return frozenset({"public-domain"})
    if licence in _PERMISSIVE:
        return frozenset({"permissive"})
    if licence in _BY:
        return frozenset({"by"})
    if match := CC_ID.fullmatch(licence):
        return frozenset(match[1].lower().split("-"))
    if _SHARE_ALIKE.match(licence):
        return frozenset({"sa"})
    return frozenset({"unknown"})


@lru_cache(10_000)
def parse(text: str) -> Expression:
    """An SPDX expression.

    Raises:
        ValueError: with a Phrase of what is wrong.
    """
    if not text.strip():
        raise ValueError(Phrase("no licence is given"))
    if len(text) > _MAX:
        raise ValueError(Phrase("the licence expression is longer than {limit} characters", limit=_MAX))
    if text.strip().upper() in ("NONE", "NOASSERTION"):
        return Expression(text.strip().upper(), (Choice((text.strip().upper(),), ("unknown",)),))
    licensing = _licensing()
    try:
        # LicenseRefs are unknown symbols: parsed without validation, and every symbol is checked afterwards
        tree = licensing.parse(text, validate=False, strict=True)
    except Exception as e:  # the library raises several kinds, some by mistake
        raise ValueError(Phrase("{text!r} is not an SPDX licence expression", text=text)) from e
    if tree is None:
        raise ValueError(Phrase("no licence is given"))
    try:
        alternatives = _alternatives(tree)
    except RecursionError as e:
        raise ValueError(Phrase("{text!r} is not an SPDX licence expression", text=text)) from e
    choices = []
    for ids in alternatives:
        classes = frozenset().union(*(classes_of(i.split(" WITH ")[0]) for i in ids))
        choices.append(Choice(tuple(sorted(ids)), tuple(sorted(classes))))
    return Expression(_spelling(tree), tuple(dict.fromkeys(choices)))


def _name(symbol: Any) -> str:
    """The usual spelling of one id. Raises ValueError."""
    key = str(symbol.key)
    if re.fullmatch(r"(DocumentRef-[A-Za-z0-9.\-]+:)?LicenseRef-[A-Za-z0-9.\-]+", key):
        return key
    plain = key.removesuffix("+")
    if plain.lower() not in spdx_ids():
        raise ValueError(
            Phrase(
                "{name!r} is not a licence that SPDX knows; give its SPDX id, or a name of your own as LicenseRef-...",
                name=key,
            )
        )
    return spdx_ids()[plain.lower()]


def _leaf(node: Any) -> str:
    if hasattr(node, "exception_symbol"):
        return f"{_name(node.license_symbol)} WITH {_name(node.exception_symbol)}"
    return _name(node)


def _alternatives(tree: Any, limit: int = 64) -> list[frozenset[str]]:
    """Disjunctive form: one set of ids for each way to choose."""
    kind = type(tree).__name__
    if kind == "OR":
        alternatives = [a for arg in tree.args for a in _alternatives(arg)]
    elif kind == "AND":
        alternatives = [frozenset()]
        for arg in tree.args:
            alternatives = [a | b for a in alternatives for b in _alternatives(arg)]
            if len(alternatives) > limit:
                break
    else:
        return [frozenset({_leaf(tree)})]
    if len(alternatives) > limit:
        raise ValueError(Phrase("the licence expression has more than {limit} alternatives", limit=limit))
    return list(dict.fromkeys(alternatives))


def _spelling(tree: Any, outer: str = "") -> str:
    kind = type(tree).__name__
    if kind not in ("OR", "AND"):
        return _leaf(tree)
    text = f" {kind} ".join(_spelling(a, kind) for a in tree.args)
    return f"({text})" if outer and outer != kind else text
