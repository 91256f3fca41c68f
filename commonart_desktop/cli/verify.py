"""``commonart verify IMAGE...``: whether images are as they were signed, who signed them, and what they were generated
with.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from commonart_desktop.core.i18n import tr
from commonart_desktop.core.process import program
from commonart_desktop.core.verify_text import describe, harmless, result


def add(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "verify",
        help=tr("check who signed an image and whether it was changed"),
        description=tr("Check who signed images, whether they were changed, and what they were made from."),
    )
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help=tr("images, or folders of images"))
    parser.add_argument(
        "--loras", type=Path, action="append", default=[], metavar="FOLDER", help=tr("look for LoRAs here too")
    )
    parser.add_argument(
        "--trust",
        type=Path,
        action="append",
        default=[],
        metavar="PEM",
        help=tr("the certificate of somebody you trust"),
    )
    parser.add_argument("--json", action="store_true", help=tr("all that was found, as JSON"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print; 0 only if every image is intact."""
    options = [f"--{name}={path}" for name, paths in (("loras", args.loras), ("trust", args.trust)) for path in paths]
    with tqdm(
        unit=tr("img"), file=sys.stderr, disable=None, leave=False, dynamic_ncols=True
    ) as shown:  # only on a terminal

        def on_progress(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        found = program(
            "engine.provenance", ["verify", *options, "--", *(str(p) for p in args.images)], on_progress=on_progress
        )
    pictures = found["pictures"]
    if args.json:
        print(json.dumps(pictures, ensure_ascii=False, indent=1))
    else:
        for picture in pictures:
            for line in describe(picture, tr("not at hand; --loras says where else to look")):
                print(harmless(line))
        if len(pictures) != 1:
            print(result(pictures))
    return 0 if found["intact"] else 1
