"""Recognises full licence texts by a hash of their words."""

from __future__ import annotations

import hashlib
import re

# SPDX id -> fingerprints of its text as SPDX and its publishers give it
_TEXTS: dict[str, tuple[str, ...]] = {
    "0BSD": (
        "25a274d52b3014d9",
        "9c842909bcc85365",
    ),
    "Apache-1.1": ("757374a1c53f12d7",),
    "Apache-2.0": (
        "045649cdaf85384b",
        "594673f8fe054276",
    ),
    "BSD-1-Clause": ("7a77297bfe19384e",),
    "BSD-2-Clause": (
        "447686a56472ea2e",
        "a56fee4b2f66331e",
    ),
    "BSD-3-Clause": (
        "9b83d3dee0616d07",
        "cc65957a28f15bbc",
    ),
    "BSD-3-Clause-Clear": (
        "77819533f05c1a51",
        "97ed32bf1c6fc4d2",
    ),
    "BSL-1.0": ("5fcf89bde8c0c2de",),
    "BlueOak-1.0.0": ("6cffa606d4960a0f",),
    "CC-BY-1.0": ("24d3cba8f3e6ce46",),
    "CC-BY-2.0": ("36c534351d30897b",),
    "CC-BY-2.5": ("12bd458a7eafea79",),
    "CC-BY-2.5-AU": ("d03bd395839cec8e",),
    "CC-BY-3.0": ("cadde0a666fbe32a",),
    "CC-BY-3.0-AT": ("828ba5c884b5199c",),
    "CC-BY-3.0-AU": ("a629a4b192747bb0",),
    "CC-BY-3.0-DE": ("ed387181f3a14386",),
    "CC-BY-3.0-IGO": ("b0f3f04fb9fcfa5f",),
    "CC-BY-3.0-NL": ("6c979c8ea6120573",),
    "CC-BY-3.0-US": ("9ea0238f7af0a921",),
    "CC-BY-4.0": (
        "2db062dd40e7bec0",
        "b94bf421a55fe7bc",
    ),
    "CC-BY-NC-1.0": ("06e29ee1948980b7",),
    "CC-BY-NC-2.0": ("6c6744095a62596c",),
    "CC-BY-NC-2.5": ("05d1fe819ce8760c",),
    "CC-BY-NC-3.0": ("a094061e2e5d153d",),
    "CC-BY-NC-3.0-DE": ("7438f2c76dcb3be5",),
    "CC-BY-NC-4.0": ("2134e9eb3c4e2513",),
    "CC-BY-NC-ND-1.0": ("a7e17de58cc16494",),
    "CC-BY-NC-ND-2.0": ("12b7b5ba2557e5a3",),
    "CC-BY-NC-ND-2.5": ("ebed1b28d703fc68",),
    "CC-BY-NC-ND-3.0": ("443b250ce583c9ea",),
    "CC-BY-NC-ND-3.0-DE": ("f92b6e01280aab50",),
    "CC-BY-NC-ND-3.0-IGO": ("189ef6e1ca54f525",),
    "CC-BY-NC-ND-4.0": ("e9d03d5d201f1310",),
    "CC-BY-NC-SA-1.0": ("3cc20a4191d6025d",),
    "CC-BY-NC-SA-2.0": ("368bfa65616f602f",),
    "CC-BY-NC-SA-2.0-DE": ("3785abaee93ae804",),
    "CC-BY-NC-SA-2.0-FR": ("76d43dc7517238e1",),
    "CC-BY-NC-SA-2.0-UK": ("af2dc4b03f1ae349",),
    "CC-BY-NC-SA-2.5": ("812fb28cee0dae1b",),
    "CC-BY-NC-SA-3.0": ("3236094de4c953b3",),
    "CC-BY-NC-SA-3.0-DE": ("cce3492fd8111eb1",),
    "CC-BY-NC-SA-3.0-IGO": ("9d6c69630b2311d5",),
    "CC-BY-NC-SA-4.0": ("5bd87a7d4b22b296",),
    "CC-BY-ND-1.0": ("f355178239638ea4",),
    "CC-BY-ND-2.0": ("414f3c4e37e42835",),
    "CC-BY-ND-2.5": ("1273b9eb789c454f",),
    "CC-BY-ND-3.0": ("bb8735eeef3786fd",),
    "CC-BY-ND-3.0-DE": ("ef7627bf9a118521",),
    "CC-BY-ND-4.0": ("f38fae8b933d1356",),
    "CC-BY-SA-1.0": ("8715e97d6d2d374d",),
    "CC-BY-SA-2.0": ("08a10b375cf8cdc2",),
    "CC-BY-SA-2.0-UK": ("fd54d063401911bb",),
    "CC-BY-SA-2.1-JP": ("f403ae07c30c4b1e",),
    "CC-BY-SA-2.5": ("2d6f96e8b9fd83cb",),
    "CC-BY-SA-3.0": ("8abcf54e1f9e8a3d",),
    "CC-BY-SA-3.0-AT": ("068cd826461dc77a",),
    "CC-BY-SA-3.0-DE": ("3bd07a7e57a0a0af",),
    "CC-BY-SA-3.0-IGO": ("302042d08130aa70",),
    "CC-BY-SA-4.0": (
        "4dd2d8faa991a431",
        "e45e5ebe59ffd98b",
    ),
    "CC-PDDC": ("e071037a4ca90838",),
    "CC-PDM-1.0": ("852d51621f34029b",),
    "CC-SA-1.0": ("4a696999dce0fb87",),
    "CC0-1.0": ("96bdc7f63190fb4b",),
    "CDLA-Permissive-1.0": ("8a598e30d9877304",),
    "CDLA-Permissive-2.0": ("fa5002c8ad14dab3",),
    "CDLA-Sharing-1.0": ("22c4bda7f588eaba",),
    "EPL-2.0": ("8fbb910251c24acd",),
    "EUPL-1.0": ("acacf0f49ffbb12e",),
    "EUPL-1.1": (
        "3f9628678f3086a6",
        "56d834bb422c9271",
    ),
    "EUPL-1.2": ("13b591e570fc19fe",),
    "ISC": (
        "3d522e40b21fe47f",
        "f172f90a892d869d",
    ),
    "LAL-1.2": ("80ac3f6e87693edc",),
    "LAL-1.3": ("2116e61642e90c68",),
    "MIT": ("35a446201226de6b",),
    "MIT-0": ("f02e38ce878ac35a",),
    "MPL-1.0": ("a47e462bfe67be78",),
    "MPL-1.1": ("5f713f3ef2b7300c",),
    "MPL-2.0": ("95f6a0d094cf3da6",),
    "ODC-By-1.0": ("a71e62fa8d3691e2",),
    "ODbL-1.0": (
        "4f4829dd5f7692a7",
        "76a5517032c44464",
    ),
    "OFL-1.1": (
        "49e8f41a303868f8",
        "a4915a2dcd67c648",
    ),
    "OGL-Canada-2.0": ("1ea4e17a7fae3842",),
    "OGL-UK-1.0": ("0dc5e08daf8aa508",),
    "OGL-UK-2.0": ("7f95375094b41828",),
    "OGL-UK-3.0": ("0124b0e3627e910c",),
    "PDDL-1.0": ("2274c43e8b9b28a0",),
    "Unlicense": (
        "7a4d92cdb11d2549",
        "fd1b07be5f4f9492",
    ),
    "WTFPL": ("a9f26b707eeeb4f2",),
    "Zlib": ("99618428d879198d",),
    "etalab-2.0": ("16156101a914c750",),
}
_KNOWN = {fingerprint: licence for licence, every in _TEXTS.items() for fingerprint in every}


def fingerprint(text: str) -> str:
    """SHA-256 (first 16 hex digits) of the words, without case, punctuation, line breaks and copyright lines."""
    lines = [
        x for x in text.splitlines() if not re.match(r"^[\s#*]*(?:copyright\s*(?:\(c\)|©|\d|\[|<)|\(c\)|©)", x, re.I)
    ]
    words = re.findall(r"[a-z0-9]+", " ".join(lines).lower())
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]


def licence_of_text(text: str) -> str:
    """The SPDX id of a licence given in full; empty unless the text matches word for word."""
    return _KNOWN.get(fingerprint(text), "") if len(text) < 200_000 else ""
