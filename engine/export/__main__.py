"""``python -m engine.export MODEL OUT``: graphs, parity report, manifest. One JSON document on standard output."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from engine.contract.errors import BadValue, Phrase
from engine.export.exporter import export
from engine.export.preflight import ExportRequest
from engine.system.json_program import JsonArgumentParser, report_progress, run_json_program


def parse_lora(text: str) -> tuple[str, float]:
    """``FILE`` or ``FILE:SCALE``; a colon in a Windows path starts no scale.

    Raises:
        BadValue
    """
    name, colon, scale = text.rpartition(":")
    if not colon or "/" in scale or "\\" in scale:
        return text, 1.0
    try:
        value = float(scale)
    except ValueError:
        return text, 1.0
    if not -100 <= value <= 100:
        raise BadValue(name="lora", value=text, why=Phrase("the scale must lie between -100 and 100"))
    return name, value


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Obey the first signal only.

    At Ctrl+C it comes from the terminal and again from the parent process; the second would interrupt the cleanup.
    """
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: None)  # with SIG_IGN a pending one would raise
    raise KeyboardInterrupt


def export_command(argv: list[str]) -> dict[str, Any]:
    """Parse ``argv`` and export; see ``exporter.export``."""
    parser = JsonArgumentParser(prog="python -m engine.export", description=__doc__)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--dtype", choices=("fp32", "fp16"), default="fp32")
    parser.add_argument("--quantize", choices=("none", "int8"), default="none")
    parser.add_argument("--lora", metavar="FILE[:SCALE]", action="append", default=[])
    parser.add_argument("--text-encoder", metavar="FOLDER")
    parser.add_argument("--vae", metavar="FOLDER")
    args = parser.parse_args(argv)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ[name] = "1"
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGTERM is an interrupt too: nothing is left behind
        if signal.getsignal(number) != signal.SIG_IGN:  # ignored in a background job of a shell
            signal.signal(number, _interrupt)
    return export(
        ExportRequest(
            model=args.model,
            out=args.out.expanduser(),
            dtype=args.dtype,
            quantize=args.quantize,
            loras=tuple(map(parse_lora, args.lora)),
            text_encoder=args.text_encoder,
            vae=args.vae,
        ),
        report_progress,
    )


if __name__ == "__main__":
    sys.exit(run_json_program(export_command))
