"""One XMP packet per image: IPTC's fields for AI-generated images, and our recipe where the format has no better place.

Names: IPTC Photo Metadata Standard 2025.1 (``Iptc4xmpExt``), Dublin Core.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from engine.contract.provenance_policy import ProvenancePolicy
from engine.contract.version import VERSION

PNG_KEY = "XML:com.adobe.xmp"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LIMIT = 1 << 20  # characters of a packet that are looked at
_IPTC, _DC, _OURS = (
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "http://purl.org/dc/elements/1.1/",
    "urn:commonart-desktop:1",
)
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_HEAD = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about="" xmlns:ca="{_OURS}"'
)
_TAIL = '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
_NOT_XML = {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}  # signs that no XML text may hold; others are refused in a request


@dataclass(frozen=True, kw_only=True)
class AiLabel:
    """Content of the packet.

    ``credentials``: the file should have a signed manifest; a file without one was stripped.
    """

    system: str
    version: str
    prompt: str
    creator: str = ""
    rights: str = ""
    credentials: bool = False

    def without_prompt(self) -> AiLabel:
        """For containers that are too small."""
        return replace(self, prompt="")


def label_of(recipe: dict[str, Any], policy: ProvenancePolicy, credentials: bool) -> AiLabel:
    """The label written into an image with this recipe."""
    return AiLabel(
        system=f"CommonArt Desktop, {recipe['request']['model']}",
        version=VERSION,
        prompt=recipe["request"]["prompt"],
        creator=policy.creator,
        rights=policy.rights,
        credentials=credentials,
    )


def packet(packed: str, label: AiLabel | None) -> str:
    """The packet with the recipe's JSON (empty: without) and a label."""
    inner = f"<ca:recipe>{escape(packed)}</ca:recipe>" if packed else ""
    if label is None:
        return f"{_HEAD}>{inner}{_TAIL}"
    fields = {
        "DigitalSourceType": SOURCE_TYPE,
        "AISystemUsed": label.system,
        "AISystemVersionUsed": label.version,
        "AIPromptInformation": label.prompt,
    }
    inner += "".join(f"<Iptc4xmpExt:{k}>{_text(v)}</Iptc4xmpExt:{k}>" for k, v in fields.items() if v)
    if label.creator:
        inner += f"<dc:creator><rdf:Seq><rdf:li>{_text(label.creator)}</rdf:li></rdf:Seq></dc:creator>"
    if label.rights:
        inner += (
            f'<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">{_text(label.rights)}</rdf:li></rdf:Alt></dc:rights>'
        )
    if label.credentials:
        inner += "<ca:credentials>embedded</ca:credentials>"
    return f'{_HEAD} xmlns:Iptc4xmpExt="{_IPTC}" xmlns:dc="{_DC}">{inner}{_TAIL}'


def _text(value: str) -> str:
    return escape(value.translate(_NOT_XML))


def fitting(packed: str, label: AiLabel | None, limit: int) -> bytes:
    """The packet in at most ``limit`` bytes if it can be: the label's prompt goes first, then the label.

    The recipe stays.
    """
    data = packet(packed, label).encode("utf-8")
    if label is not None and len(data) > limit:
        data = packet(packed, label.without_prompt()).encode("utf-8")
    if label is not None and len(data) > limit:
        data = packet(packed, None).encode("utf-8")
    return data


def read_packet(data: bytes | str) -> dict[str, str]:
    """Known fields of anyone's packet; empty where it cannot be read. Data only.

    Keys: the IPTC names, ``creator``, ``rights``, and ``recipe`` and ``credentials`` of ours.
    """
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    if len(text) > LIMIT or "<!" in text:  # a document type could declare entities without end
        return {}
    try:
        tree = ElementTree.fromstring(text[text.index("<x:xmpmeta") : text.index("</x:xmpmeta>") + len("</x:xmpmeta>")])
    except (ElementTree.ParseError, ValueError):
        return {}
    found: dict[str, str] = {}
    for description in tree.iter(f"{{{_RDF}}}Description"):
        for name, value in description.attrib.items():
            _keep(found, name, value)
        for child in description:
            _keep(found, child.tag, "; ".join(t for t in ("".join(child.itertext()).strip(),) if t))
    return found


def _keep(found: dict[str, str], name: str, value: str) -> None:
    space, _, plain = name.removeprefix("{").partition("}")
    known = {
        _IPTC: (
            "DigitalSourceType",
            "AISystemUsed",
            "AISystemVersionUsed",
            "AIPromptInformation",
            "AIPromptWriterName",
        ),
        _DC: ("creator", "rights"),
        _OURS: ("recipe", "credentials"),
    }
    if plain in known.get(space, ()):
        found[plain] = value
