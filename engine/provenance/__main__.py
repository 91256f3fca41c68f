"""``python -m engine.provenance COMMAND``: verify images, try a certificate. One JSON document on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.contract.errors import BadFile, Phrase
from engine.contract.provenance_policy import ProvenancePolicy
from engine.contract.recipe import build
from engine.contract.request import ImageRequest
from engine.imagefile.image import ENDINGS, to_bytes
from engine.provenance.sign import Signer
from engine.provenance.verify import Verifier
from engine.system.json_program import JsonArgumentParser, report_progress, run_json_program


def pictures(given: Sequence[Path]) -> Iterator[Path]:
    """The files, and the images in the folders.

    Raises:
        BadFile: one is not there.
    """
    endings = {*ENDINGS.values(), ".jpeg"}
    for path in given:
        if path.is_dir():
            yield from sorted(
                p for p in path.rglob("*") if p.suffix.lower() in endings and not p.name.startswith(".") and p.is_file()
            )
        elif path.exists():
            yield path
        else:
            raise BadFile(path=path, why=Phrase("there is no such file"))


def certificate(chain: Path, key: Path) -> dict[str, Any]:
    """Sign a small image with it, in memory. Returns the name that it was issued to.

    Raises:
        BadCertificate, SigningFailed: it cannot sign.
    """
    recipe = build(
        ImageRequest(prompt="", seed=0, model="", width=16, height=16),
        model="",
        hashes={"denoiser": "0" * 64},
        backend={"backend": "", "device": "", "dtype": ""},
        batch=(1, 0),
        pixel_sha256="",
        app="",
    )
    signer = Signer(ProvenancePolicy(certificate=str(chain), key=str(key)))
    try:
        signer.sign(to_bytes(np.zeros((16, 16, 3), np.uint8), "png", recipe), "png", recipe)
    finally:
        signer.close()
    return {"name": signer.identity.name}


def work(argv: list[str]) -> dict[str, Any]:
    """The command in ``argv``."""
    parser = JsonArgumentParser(prog="python -m engine.provenance", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=JsonArgumentParser)
    command = commands.add_parser("verify")
    command.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="files, or folders of pictures")
    command.add_argument("--loras", metavar="FOLDER", type=Path, action="append", default=[])
    command.add_argument("--trust", metavar="PEM", type=Path, action="append", default=[])
    command = commands.add_parser("certificate", help="whether one's own certificate can sign")
    command.add_argument("certificate", metavar="PEM", type=Path)
    command.add_argument("key", metavar="KEY", type=Path)
    args = parser.parse_args(argv)
    if args.command == "certificate":
        return certificate(args.certificate, args.key)
    for folder in args.loras:
        if not folder.exists():
            raise BadFile(path=folder, why=Phrase("there is no such file or folder"))
    files = list(pictures(args.images))
    verifier = Verifier(args.loras, args.trust)
    reports = []
    for number, file in enumerate(files):
        report_progress(number, len(files))
        reports.append(verifier.verify(file).as_data())
    return {"pictures": reports, "intact": bool(reports) and all(r["intact"] for r in reports)}


if __name__ == "__main__":
    sys.exit(run_json_program(work))
