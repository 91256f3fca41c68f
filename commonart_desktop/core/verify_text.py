"""The reports of ``engine.provenance`` in sentences, for the command line and the window: one place that words them.

A report is one entry of ``pictures``, as ``python -m engine.provenance verify`` answers. What it quotes comes out of
files and is data: whoever shows it shows it as plain text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from commonart_desktop.core.i18n import say, tr
from commonart_desktop.core.parameters_text import settings_lines
from engine.contract.errors import Phrase

Report = dict[str, Any]
SHOWN = 400  # letters of another tool's text in a line


@dataclass(frozen=True)
class Node:
    """One step of the way from an image to what it was made from.

    ``state`` is ok, bad, missing, or empty where there is nothing to judge.
    """

    text: str
    state: str = ""
    inner: tuple[Node, ...] = ()


def harmless(text: str) -> str:
    """Text out of a file, without signs that would steer a terminal or turn the reading direction."""
    return "".join(c if c.isprintable() else " " if c == "\n" else "\ufffd" for c in text)


def describe(report: Report, missing: str = "") -> Iterator[str]:
    """A report in lines, the state first. ``missing`` is what to say of a LoRA that was not found."""
    yield f"{report['path']}: {state(report)}"
    yield from (
        f"  {line}"
        for line in [
            *findings(report),
            *_recipe(report),
            *_others(report),
            *_chain(report["chain"], missing or tr("not at hand")),
        ]
    )


def state(report: Report) -> str:
    """What is to be known first."""
    why = report["why"]
    told = say(Phrase(why["template"], **why["fields"])) if isinstance(why, dict) else str(why)
    states = {
        "valid": tr("signed and unchanged"),
        "changed": tr("CHANGED after it was made"),
        "expired": tr("unchanged, but the certificate has expired"),
        "unsigned": tr("not signed"),
        "foreign": tr("unchanged, but signed by somebody unknown here"),
        "unreadable": tr("cannot be read: {why}", why=told),
    }
    return states[report["state"]]


def findings(report: Report) -> Iterator[str]:
    """Who signed, what was changed, and whether the pixels are those of the recipe."""
    if report["signer"]:
        yield signer(report["signer"])
    yield from (_changed(part) for part in report["changed"])
    if report["state"] == "expired":
        yield tr(
            "The certificate that signed it is no longer valid, and no time stamp says when it signed. The content is "
            "unchanged."
        )
    if report["pixels"] == "match":
        yield tr("Its pixels are those of its recipe.")


def signer(one: dict[str, Any]) -> str:
    """Who signed, and what that is worth here."""
    fields = {"name": one["name"], "tool": one["with"] or "?"}
    if one["who"] == "studio":
        return tr("Signed by this studio ({name}), unknown to others, with {tool}.", **fields)
    if one["who"] == "trusted":
        return tr("Signed by {name}, whom you trust, with {tool}.", **fields)
    return tr(
        "Signed as {name} with {tool}. Nobody here vouches for that name: anyone can make such a certificate.", **fields
    )


def _changed(part: str) -> str:
    return {
        "pixels": tr("The pixels were changed."),
        "text": tr("The recipe or prompt text in the file was changed."),
        "manifest": tr("The Content Credentials themselves were damaged or changed."),
        "signature": tr("The signature does not fit what it signs."),
        "stripped": tr("It was signed when it was made; its Content Credentials were removed."),
        "other": tr("The file was changed outside its pixels and its recipe."),
    }.get(part, part)


def made(report: Report) -> list[tuple[str, str]]:
    """(name, value) of what the recipe says; empty without one."""
    recipe = report["recipe"]
    if not recipe:
        return []
    asked = recipe["request"]
    return [
        (tr("prompt"), str(asked["prompt"])),
        (tr("model"), str(asked["model"])),
        (
            tr("made with"),
            f"{recipe['app']}, {recipe['backend']['backend']}, {recipe['backend']['device']}, "
            f"{recipe['backend']['dtype']}",
        ),
    ]


def belief(report: Report) -> Iterator[str]:
    """Whether the recipe is to be believed, and what others may do with the image."""
    if report["recipe"]:
        yield (
            tr("The recipe is covered by the signature.")
            if report["recipe_signed"]
            else tr("No signature covers the recipe: anyone may have written it.")
        )
        words = {
            "allowed": tr("allowed"),
            "notAllowed": tr("not allowed"),
            "constrained": tr("allowed under conditions"),
        }
        uses = {words.get(v, str(v)) for v in report["training_mining"].values() if v}
        if uses:
            yield tr("Training and data mining by others: {use}", use=", ".join(sorted(uses)))


def hidden(report: Report) -> str:
    """That the prompt is not in the file; empty where it is."""
    return (
        tr("The prompt is given only as a hash; the image cannot be made again from the file alone.")
        if report["prompt_hidden"]
        else ""
    )


def labelled(report: Report) -> str:
    """How the file labels itself by IPTC's digital source type; empty without one."""
    kind = str(report["xmp"].get("DigitalSourceType", "")).rsplit("/", 1)[-1]
    return tr("Labelled as: {kind} (IPTC)", kind=kind) if kind else ""


def foreign_text(report: Report) -> str:
    """How to introduce the text of another tool; empty where there is none to show."""
    if report["tool"] and not report["recipe"]:
        return tr("Carries the text of another tool ({tool}); no signature covers it:", tool=report["tool"])
    return ""


def foreign_lines(report: Report) -> list[tuple[str, str]]:
    """(name, value) of what another program wrote: its settings where they are clear, else its texts as they stand."""
    lines = settings_lines(report["read"]) if report["read"] else list(report["texts"].items())
    return [(name, text[:SHOWN] + ("…" if len(text) > SHOWN else "")) for name, text in lines]


def _recipe(report: Report) -> Iterator[str]:
    if report["recipe"] and (line := hidden(report)):
        yield line
    hashed = f" (SHA-256 {report['recipe']['hashes']['denoiser']})" if report["recipe"] else ""
    yield from (f"{name}: {value}{hashed if name == tr('model') else ''}" for name, value in made(report))
    yield from belief(report)


def _others(report: Report) -> Iterator[str]:
    """What other tools wrote; told as theirs."""
    if intro := foreign_text(report):
        yield intro
        yield from (f"  {name}: {value}" for name, value in foreign_lines(report))
    if line := labelled(report):
        yield line


def _gate(link: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(sentence, state) of the report of the licence check."""
    told = {
        "fits": tr("The report of its licence check is at hand and is the one it was taught with."),
        "differs": tr("The report of the licence check beside it is ANOTHER than the one it was taught with."),
        "missing": tr("It names a report of a licence check, which is not at hand."),
        "none": tr("It names no report of a licence check."),
    }
    yield told[link["gate"]], {"fits": "ok", "differs": "bad", "missing": "missing"}.get(link["gate"], "")
    if link["gate_summary"].get("passed") is False:
        yield tr("That licence check was not passed."), "bad"


def licences_of(link: dict[str, Any]) -> list[str]:
    """The licences of the images that taught a LoRA, each with their number; at most 20."""
    found = link["gate_summary"].get("licences") or link["told"].get("licences")
    return [f"{k} × {v}" for k, v in list(found.items())[:20]] if isinstance(found, dict) else []


def _chain(chain: Sequence[dict[str, Any]], missing: str) -> Iterator[str]:
    for link in chain:
        yield tr(
            "LoRA {name} at scale {scale}, SHA-256 {sha256}",
            name=link["name"],
            scale=link["scale"],
            sha256=link["sha256"],
        )
        yield "  " + (tr("at hand: {file}", file=link["file"]) if link["file"] else missing)
        if not link["agrees"]:
            yield "  " + tr("The recipe says other things of it than the file itself.")
        yield from (f"  {line}" for line, _ in _gate(link))
        if licences := licences_of(link):
            yield "  " + tr("licences of its images: {licences}", licences=", ".join(licences))
        if link["attribution"]:
            yield "  " + tr("credits: {file}", file=link["attribution"])


def tree(report: Report) -> Node | None:
    """Image -> model and LoRAs -> licence check -> licences; None without a recipe."""
    recipe = report["recipe"]
    if not recipe:
        return None
    model = Node(
        tr("Model {name}", name=recipe["request"]["model"]), "", (Node(f"SHA-256 {recipe['hashes']['denoiser']}"),)
    )
    whole = {"valid": "ok", "changed": "bad"}.get(report["state"], "")
    return Node(
        str(report["path"]).replace("\\", "/").rsplit("/", 1)[-1],
        whole,
        (model, *(_branch(link) for link in report["chain"])),
    )


def _branch(link: dict[str, Any]) -> Node:
    (gate, judged), *more = _gate(link)
    inner = [Node(line, level) for line, level in more]
    if licences := licences_of(link):
        inner.append(Node(tr("Licences of its images"), "", tuple(Node(one) for one in licences)))
    if link["attribution"]:
        inner.append(Node(tr("credits: {file}", file=link["attribution"])))
    below = [
        Node(f"SHA-256 {link['sha256']}"),
        Node(tr("at hand: {file}", file=link["file"]), "ok") if link["file"] else Node(tr("not at hand"), "missing"),
    ]
    if not link["agrees"]:
        below.append(Node(tr("The recipe says other things of it than the file itself."), "bad"))
    name = tr("LoRA {name} at scale {scale}", name=link["name"], scale=link["scale"])
    return Node(name, "" if link["agrees"] else "bad", (*below, Node(gate, judged, tuple(inner))))


def chain_state(report: Report) -> str:
    """``bad`` if anything at hand of its chain speaks against it, ``missing`` if a part could not be looked at, else
    empty.
    """
    links = report["chain"]
    if any(
        link["gate"] == "differs" or not link["agrees"] or link["gate_summary"].get("passed", True) is not True
        for link in links
    ):
        return "bad"
    return "missing" if any(not link["file"] or link["gate"] == "missing" for link in links) else ""


def result(reports: Sequence[Report]) -> str:
    """How many of them are intact."""
    return tr(
        "{good} of {count} image(s) are intact.", good=sum(bool(r["intact"]) for r in reports), count=len(reports)
    )


def as_text(reports: Sequence[Report]) -> str:
    """The reports for people, one after the other."""
    lines = [harmless(line) for report in reports for line in describe(report)]
    return "\n".join([*lines, *([result(reports)] if len(reports) != 1 else [])])
