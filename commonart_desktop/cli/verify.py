"""``commonart verify IMAGE...``: whether pictures are as they were signed, who signed them, and what they were made from."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from commonart_desktop.core.i18n import say, tr
from commonart_desktop.core.process import program
from engine.contract.errors import Phrase


def add(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("verify", help=tr("check who signed a picture and whether it was changed"),
                                   description=tr("Check who signed pictures, whether they were changed, and what they were made from."))
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help=tr("pictures, or folders of pictures"))
    parser.add_argument("--loras", type=Path, action="append", default=[], metavar="FOLDER", help=tr("look for LoRAs here too"))
    parser.add_argument("--trust", type=Path, action="append", default=[], metavar="PEM", help=tr("the certificate of somebody you trust"))
    parser.add_argument("--json", action="store_true", help=tr("all that was found, as JSON"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print; 0 only if every picture is intact."""
    options = [f"--{name}={path}" for name, paths in (("loras", args.loras), ("trust", args.trust)) for path in paths]
    with tqdm(unit=tr("img"), file=sys.stderr, disable=None, leave=False, dynamic_ncols=True) as shown:  # only where somebody watches
        def on_progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        found = program("engine.provenance", ["verify", *options, "--", *(str(p) for p in args.images)], on_progress=on_progress)
    pictures = found["pictures"]
    if args.json:
        print(json.dumps(pictures, ensure_ascii=False, indent=1))
    else:
        for picture in pictures:
            for line in describe(picture):
                print(_harmless(line))
        if len(pictures) != 1:
            print(tr("{good} of {count} picture(s) are intact.", good=sum(p["intact"] for p in pictures), count=len(pictures)))
    return 0 if found["intact"] else 1


def _harmless(text: str) -> str:
    """Text out of a file, without signs that would steer a terminal."""
    return "".join(c if c.isprintable() else " " if c == "\n" else "\ufffd" for c in text)


def describe(picture: dict[str, Any]) -> Iterator[str]:
    """A report of ``engine.provenance`` in sentences, the state first."""
    yield f"{picture['path']}: {_state(picture)}"
    signer = picture["signer"]
    if signer:
        yield "  " + _signer(signer)
    for part in picture["changed"]:
        yield "  " + _changed(part)
    if picture["state"] == "expired":
        yield "  " + tr("The certificate that signed it is no longer valid, and no time stamp says when it signed. The content is unchanged.")
    if picture["pixels"] == "match":
        yield "  " + tr("Its pixels are those of its recipe.")
    yield from (f"  {line}" for line in [*_recipe(picture), *_others(picture), *_chain(picture["chain"])])


def _state(picture: dict[str, Any]) -> str:
    why = picture["why"]
    told = say(Phrase(why["template"], **why["fields"])) if isinstance(why, dict) else str(why)
    states = {"valid": tr("signed and unchanged"), "changed": tr("CHANGED after it was made"), "expired": tr("unchanged, but the certificate has expired"),
              "unsigned": tr("not signed"), "foreign": tr("unchanged, but signed by somebody unknown here"),
              "unreadable": tr("cannot be read: {why}", why=told)}
    return states[picture["state"]]


def _signer(signer: dict[str, Any]) -> str:
    fields = {"name": signer["name"], "tool": signer["with"] or "?"}
    if signer["who"] == "studio":
        return tr("Signed by this studio ({name}), unknown to others, with {tool}.", **fields)
    if signer["who"] == "trusted":
        return tr("Signed by {name}, whom you trust, with {tool}.", **fields)
    return tr("Signed as {name} with {tool}. Nobody here vouches for that name: anyone can make such a certificate.", **fields)


def _changed(part: str) -> str:
    return {"pixels": tr("The pixels were changed."), "text": tr("The recipe or prompt text in the file was changed."),
            "manifest": tr("The Content Credentials themselves were damaged or changed."),
            "signature": tr("The signature does not fit what it signs."),
            "stripped": tr("It was signed when it was made; its Content Credentials were removed."),
            "other": tr("The file was changed outside its pixels and its recipe.")}.get(part, part)


def _recipe(picture: dict[str, Any]) -> Iterator[str]:
    recipe = picture["recipe"]
    if not recipe:
        return
    asked = recipe["request"]
    if picture["prompt_hidden"]:
        yield tr("The prompt is given only as a hash; the picture cannot be made again from the file alone.")
    yield tr("prompt") + f": {asked['prompt']}"
    yield tr("model") + f": {asked['model']} (SHA-256 {recipe['hashes']['denoiser']})"
    yield tr("made with") + f": {recipe['app']}, {recipe['backend']['backend']}, {recipe['backend']['device']}, {recipe['backend']['dtype']}"
    yield tr("The recipe is covered by the signature.") if picture["recipe_signed"] else tr("No signature covers the recipe: anyone may have written it.")
    uses = {str(v) for v in picture["training_mining"].values() if v}
    if uses:
        yield tr("Training and data mining by others: {use}", use=", ".join(sorted(uses)))


def _others(picture: dict[str, Any]) -> Iterator[str]:
    """What other tools wrote; told as theirs."""
    if picture["tool"] and not picture["recipe"]:
        yield tr("Carries the text of another tool ({tool}); no signature covers it:", tool=picture["tool"])
        for key, text in picture["texts"].items():
            yield f"  {key}: {text[:400]}{'…' if len(text) > 400 else ''}"
    kind = picture["xmp"].get("DigitalSourceType", "").rsplit("/", 1)[-1]
    if kind:
        yield tr("Labelled as: {kind} (IPTC)", kind=kind)


def _chain(chain: list[dict[str, Any]]) -> Iterator[str]:
    for link in chain:
        told = link["told"]
        yield tr("LoRA {name} at scale {scale}, SHA-256 {sha256}", name=link["name"], scale=link["scale"], sha256=link["sha256"])
        yield "  " + (tr("at hand: {file}", file=link["file"]) if link["file"] else tr("not at hand; --loras says where else to look"))
        if not link["agrees"]:
            yield "  " + tr("The recipe says other things of it than the file itself.")
        gate = {"fits": tr("The report of its licence check is at hand and is the one it was taught with."),
                "differs": tr("The report of the licence check beside it is ANOTHER than the one it was taught with."),
                "missing": tr("It names a report of a licence check, which is not at hand."), "none": tr("It names no report of a licence check.")}
        yield "  " + gate[link["gate"]]
        if link["gate_summary"].get("passed") is False:
            yield "  " + tr("That licence check was not passed.")
        licences = link["gate_summary"].get("licences") or told.get("licences")
        if isinstance(licences, dict) and licences:
            yield "  " + tr("licences of its pictures: {licences}", licences=", ".join(f"{k} × {v}" for k, v in list(licences.items())[:20]))
        if link["attribution"]:
            yield "  " + tr("credits: {file}", file=link["attribution"])
