"""What an SPDX licence expression allows, in classes that a policy can have rules for; and licence addresses as SPDX ids."""

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
_PORTS = [
    "ar",
    "at",
    "au",
    "az",
    "be",
    "bg",
    "br",
    "ca",
    "ch",
    "cl",
    "cn",
    "co",
    "cr",
    "cz",
    "de",
    "dk",
    "ec",
    "ee",
    "eg",
    "es",
    "fi",
    "fr",
    "ge",
    "gr",
    "gt",
    "hk",
    "hr",
    "hu",
    "ie",
    "igo",
    "il",
    "in",
    "it",
    "jp",
    "kr",
    "lu",
    "mk",
    "mt",
    "mx",
    "my",
    "nl",
    "no",
    "nz",
    "pe",
    "ph",
    "pl",
    "pr",
    "pt",
    "ro",
    "rs",
    "scotland",
    "se",
    "sg",
    "si",
    "th",
    "tw",
    "ug",
    "uk",
    "us",
    "ve",
    "vn",
    "za",
]
_CC_TERMS = ("by", "by-nc", "by-nd", "by-sa", "by-nc-nd", "by-nc-sa", "by-nd-nc", "nc", "nd", "sa", "nc-sa", "nd-nc")
_CC_ID = re.compile(
    rf"(?:LicenseRef-)?CC-({'|'.join(_CC_TERMS)})-(?:1\.0|2\.0|2\.1|2\.5|3\.0|4\.0)(?:-(?:{'|'.join(_PORTS)}))?", re.I
)


@dataclass(frozen=True)
class Choice:
    """One way to read an expression: all these licences hold together."""

    licences: tuple[str, ...]  # SPDX ids, sorted; "X WITH Y" as it stands
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
def _symbols() -> dict[str, str]:
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
    if match := _CC_ID.fullmatch(licence):
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
        # LicenseRefs are no known symbols: parsed without validation, every symbol looked up afterwards
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
    if plain.lower() not in _symbols():
        raise ValueError(
            Phrase(
                "{name!r} is not a licence that SPDX knows; give its SPDX id, or a name of your own as LicenseRef-...",
                name=key,
            )
        )
    return _symbols()[plain.lower()]


def _leaf(node: Any) -> str:
    if hasattr(node, "exception_symbol"):
        return f"{_name(node.license_symbol)} WITH {_name(node.exception_symbol)}"
    return _name(node)


def _alternatives(tree: Any, limit: int = 64) -> list[frozenset[str]]:
    """Disjunctive form: one set of ids for each way to choose."""
    kind = type(tree).__name__
    if kind == "OR":
        found = [a for arg in tree.args for a in _alternatives(arg)]
    elif kind == "AND":
        found = [frozenset()]
        for arg in tree.args:
            found = [a | b for a in found for b in _alternatives(arg)]
            if len(found) > limit:
                break
    else:
        return [frozenset({_leaf(tree)})]
    if len(found) > limit:
        raise ValueError(Phrase("the licence expression has more than {limit} alternatives", limit=limit))
    return list(dict.fromkeys(found))


def _spelling(tree: Any, outer: str = "") -> str:
    kind = type(tree).__name__
    if kind not in ("OR", "AND"):
        return _leaf(tree)
    text = f" {kind} ".join(_spelling(a, kind) for a in tree.args)
    return f"({text})" if outer and outer != kind else text


# addresses ------------------------------------------------------------------------------------------------------------

# the licence, its deed or its legal code, in any language; "?ref=" is what the licence chooser adds. Nothing else may follow
_CC = re.compile(
    r"(?:https?:)?(?://)?(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z\-]+)/(\d\.\d)"
    r"(?:/([a-z]{2,8}))??(?:/(?:deed|legalcode)(?:\.[a-z]{2}(?:[_\-][a-z]{2,4})?)?(?:\.txt|\.html)?)?/?(?:\?ref=[a-z0-9_\-]+)?",
    re.I,
)
_OTHERS = {
    "opensource.org/licenses/mit": "MIT",
    "opensource.org/license/mit": "MIT",
    "apache.org/licenses/license-2.0": "Apache-2.0",
    "unlicense.org": "Unlicense",
    "usa.gov/copyright.shtml": US_GOVERNMENT,
    "usa.gov/government-works": US_GOVERNMENT,
    "usa.gov/government-copyright": US_GOVERNMENT,
    "flickr.com/commons/usage": NO_KNOWN_COPYRIGHT,
    "opendatacommons.org/licenses/by/1-0": "ODC-By-1.0",
    "opendatacommons.org/licenses/by/1.0": "ODC-By-1.0",
    "opendatacommons.org/licenses/pddl/1-0": "PDDL-1.0",
    "opendatacommons.org/licenses/pddl/1.0": "PDDL-1.0",
    "opendatacommons.org/licenses/odbl/1-0": "ODbL-1.0",
    "opendatacommons.org/licenses/odbl/1.0": "ODbL-1.0",
    "artlibre.org/licence/lal": "LAL-1.3",
    "rightsstatements.org/vocab/nkc/1.0": NO_KNOWN_COPYRIGHT,
}


def from_url(url: str) -> str | None:
    """The SPDX id that the address of a licence stands for, or None. The address is read whole: a tail that is not known
    makes another address of it. Ported versions (``/jp/``) keep their country."""
    if match := _CC.fullmatch(url.strip()):
        kind, name, version, country = match[1].lower(), match[2].lower(), match[3], (match[4] or "").lower()
        if kind == "publicdomain":
            known = {("zero", "1.0"): "CC0-1.0", ("mark", "1.0"): "CC-PDM-1.0"}
            return None if country else known.get((name, version))
        if name not in _CC_TERMS or (country and country not in _PORTS):
            return None
        wanted = f"CC-{name.upper()}-{version}"
        # without a country only SPDX's own ids; of the ported ones some have no SPDX id, CC BY 2.1 JP among them
        if (found := _symbols().get(f"{wanted}-{country}".lower() if country else wanted.lower())) or not country:
            return found
        return f"LicenseRef-{wanted}-{country.upper()}" if version in ("1.0", "2.0", "2.1", "2.5", "3.0") else None
    plain = re.sub(r"^(?:https?:)?(?://)?(?:www\.)?", "", url.strip().lower()).rstrip("/")
    plain = plain.removesuffix(".html").removesuffix(".txt").rstrip("/")
    if plain.startswith("spdx.org/licenses/"):
        return _symbols().get(plain.removeprefix("spdx.org/licenses/"))
    return _OTHERS.get(plain)


_TERMS = r"by(?:[ \-_](?:nc|nd|sa)){0,2}"
_SHORT = re.compile(
    rf"(?:creative commons |cc)?[ \-_]?({_TERMS})(?:[ \-_]?v?(\d\.\d))?(?: (?:international|unported|generic))?"
)
_LONG = re.compile(
    r"(?:creative commons )?attribution((?:[ \-]+(?:non[ \-]?commercial|no[ \-]?deriv(?:ative)?s|share[ \-]?alike)){0,2})"
    r"(?: v?(\d\.\d))?(?: (?:international|unported|generic))?(?: (?:public )?licen[sc]e)?(?: \((.+)\))?"
)
_PLAIN = {
    "cc0": "CC0-1.0",
    "cc0 1.0": "CC0-1.0",
    "cc0 1.0 universal": "CC0-1.0",
    "public domain dedication (cc0)": "CC0-1.0",
    "creative commons zero v1.0 universal": "CC0-1.0",
    "creative commons cc0 1.0 universal": "CC0-1.0",
    "public domain mark": "CC-PDM-1.0",
    "public domain mark 1.0": "CC-PDM-1.0",
    "pdm": "CC-PDM-1.0",
    "pdm 1.0": "CC-PDM-1.0",
    "united states government work": US_GOVERNMENT,
    "us government work": US_GOVERNMENT,
    "no known copyright restrictions": NO_KNOWN_COPYRIGHT,
    "mit license": "MIT",
    "the mit license": "MIT",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
}


def _cc_name(text: str) -> tuple[str, str] | None:
    """Terms (``by-nc``) and version (empty: not named) of a Creative Commons licence called by its name; None for others."""
    low = " ".join(text.lower().split())
    if match := _SHORT.fullmatch(low):
        return match[1].replace(" ", "-").replace("_", "-"), match[2] or ""
    if match := _LONG.fullmatch(low):
        parts = {"nc": "commercial", "nd": "deriv", "sa": "alike"}
        terms = "-".join(["by", *(k for k, word in parts.items() if word in match[1])])
        version = match[2] or ""
        if match[3] and (inside := _cc_name(match[3])) != (terms, version) and inside != (terms, ""):
            return None  # "Attribution 4.0 (CC BY-NC 4.0)"
        return terms, version
    return None


def from_statement(text: str) -> str | None:
    """The SPDX expression that ``text`` states: an expression, an address, ``CC BY 4.0``, ``CC0``.

    The text is understood whole or not at all: None for anything else, and where a version would be a guess.
    """
    text = " ".join(text.split())
    if not text:
        return None
    if found := from_url(text):
        return found
    try:
        return parse(text).text
    except ValueError:
        pass
    if text.lower() in _PLAIN:
        return _PLAIN[text.lower()]
    if (name := _cc_name(text)) and name[1]:
        return _symbols().get(f"cc-{name[0]}-{name[1]}")
    return None


def is_name_of(text: str, licence: str) -> bool:
    """Whether ``text`` names the Creative Commons licence ``licence`` (an SPDX id) but for its version.

    "Attribution License" beside an address of CC BY 2.0 is no contradiction; beside one of CC BY-NC 2.0 it is.
    """
    name = _cc_name(text)
    match = _CC_ID.fullmatch(licence)
    return bool(name and match and not name[1] and sorted(match[1].lower().split("-")) == sorted(name[0].split("-")))


def url_of(licence: str) -> str:
    """The address of a Creative Commons licence; empty for others."""
    if licence == "CC0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    if licence == "CC-PDM-1.0":
        return "https://creativecommons.org/publicdomain/mark/1.0/"
    if match := re.fullmatch(r"(?:LicenseRef-)?CC-([A-Z\-]+)-(\d\.\d)(?:-([A-Z]{2,3}))?", licence):
        country = f"{match[3].lower()}/" if match[3] else ""
        return f"https://creativecommons.org/licenses/{match[1].lower()}/{match[2]}/{country}"
    return ""
