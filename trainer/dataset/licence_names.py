"""SPDX ids of the addresses and names by which licences are called."""

from __future__ import annotations

import re

from trainer.dataset.spdx import CC_ID, CC_PORTS, CC_TERMS, NO_KNOWN_COPYRIGHT, US_GOVERNMENT, parse, spdx_ids

# the licence, its deed or its legal code, in any language; "?ref=" is what the licence chooser adds. Nothing else may
# follow
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
    """The SPDX id of a licence address, or None.

    The complete address must match: an unknown tail makes it another address. Ported versions (``/jp/``) keep their
    country.
    """
    if match := _CC.fullmatch(url.strip()):
        kind, name, version, country = match[1].lower(), match[2].lower(), match[3], (match[4] or "").lower()
        if kind == "publicdomain":
            identifiers = {("zero", "1.0"): "CC0-1.0", ("mark", "1.0"): "CC-PDM-1.0"}
            return None if country else identifiers.get((name, version))
        if name not in CC_TERMS or (country and country not in CC_PORTS):
            return None
        wanted = f"CC-{name.upper()}-{version}"
        # without a country only SPDX's own ids; of the ported ones some have no SPDX id, CC BY 2.1 JP among them
        if (spdx_id := spdx_ids().get(f"{wanted}-{country}".lower() if country else wanted.lower())) or not country:
            return spdx_id
        return f"LicenseRef-{wanted}-{country.upper()}" if version in ("1.0", "2.0", "2.1", "2.5", "3.0") else None
    plain = re.sub(r"^(?:https?:)?(?://)?(?:www\.)?", "", url.strip().lower()).rstrip("/")
    plain = plain.removesuffix(".html").removesuffix(".txt").rstrip("/")
    if plain.startswith("spdx.org/licenses/"):
        return spdx_ids().get(plain.removeprefix("spdx.org/licenses/"))
    return _OTHERS.get(plain)


_TERMS = r"by(?:[ \-_](?:nc|nd|sa)){0,2}"
_SHORT = re.compile(
    rf"(?:creative commons |cc)?[ \-_]?({_TERMS})(?:[ \-_]?v?(\d\.\d))?(?: (?:international|unported|generic))?"
)
_LONG = re.compile(
    r"(?:creative commons )?attribution((?:[ \-]+(?:non[ \-]?commercial|no[ \-]?deriv(?:ative)?s|share[ \-]?alike)"
    r"){0,2})"
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
    """Terms (``by-nc``) and version (empty: not named) of a Creative Commons licence called by its name.

    None for others.
    """
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

    The complete text must be understood: None for anything else, and where a version would be a guess.
    """
    text = " ".join(text.split())
    if not text:
        return None
    if spdx_id := from_url(text):
        return spdx_id
    try:
        return parse(text).text
    except ValueError:
        pass
    if text.lower() in _PLAIN:
        return _PLAIN[text.lower()]
    if (name := _cc_name(text)) and name[1]:
        return spdx_ids().get(f"cc-{name[0]}-{name[1]}")
    return None


def is_name_of(text: str, licence: str) -> bool:
    """Whether ``text`` names the Creative Commons licence ``licence`` (an SPDX id) but for its version.

    "Attribution License" beside an address of CC BY 2.0 is no contradiction; beside one of CC BY-NC 2.0 it is.
    """
    name = _cc_name(text)
    match = CC_ID.fullmatch(licence)
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
