"""What is written into images about their origin, and the worker's options for it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

PROMPTS = ("clear", "hash")
TRAINING = ("", "allowed", "notAllowed", "constrained")


@dataclass(frozen=True, kw_only=True)
class ProvenancePolicy:
    """``prompt`` is written in clear or as its hash; ``training_mining`` may be empty: no statement.

    ``certificate`` (PEM, the signer's own first) and ``key`` (PEM) are files of the user's; without them a local
    identity with the name ``studio`` signs.
    """

    sign: bool = True
    prompt: str = "clear"
    training_mining: str = ""
    studio: str = ""
    creator: str = ""
    rights: str = ""
    certificate: str = ""
    key: str = ""
    safety: str = ""  # the scorer of engine.provenance.safety_score for images before they are saved; empty: none


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the policy's options."""
    plain = ProvenancePolicy()
    parser.add_argument(
        "--sign", action=argparse.BooleanOptionalAction, default=plain.sign, help="Content Credentials in every picture"
    )
    parser.add_argument(
        "--tell-prompt", choices=PROMPTS, default=plain.prompt, help="the prompt in clear, or only its hash"
    )
    parser.add_argument(
        "--training-mining",
        choices=TRAINING,
        default=plain.training_mining,
        help="what others may do with the pictures",
    )
    parser.add_argument(
        "--safety-score",
        choices=("", "opennsfw"),
        default=plain.safety,
        help="score pictures before they are saved, into the recipe",
    )
    for name in ("studio", "creator", "rights", "certificate", "key"):
        parser.add_argument(f"--{name}", default="", metavar="TEXT")


def policy_of(args: argparse.Namespace) -> ProvenancePolicy:
    """The policy from parsed options."""
    return ProvenancePolicy(
        sign=args.sign,
        prompt=args.tell_prompt,
        training_mining=args.training_mining,
        studio=args.studio,
        creator=args.creator,
        rights=args.rights,
        certificate=args.certificate,
        key=args.key,
        safety=args.safety_score,
    )
