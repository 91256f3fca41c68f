"""``python -m engine.doctor``: the report as one JSON document on standard output, ``{"checks": [...]}``."""

from __future__ import annotations

import os
import sys
from typing import Any

from engine.checkpoint.library import open_model
from engine.doctor.report import examine
from engine.system.json_program import JsonArgumentParser, run_json_program


def doctor(argv: list[str]) -> dict[str, Any]:
    """Run all checks; ``--model`` names the model whose memory plans are wanted.

    Raises:
        what ``open_model`` raises.
    """
    parser = JsonArgumentParser(prog="python -m engine.doctor", description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--text-encoder")
    parser.add_argument("--vae")
    args = parser.parse_args(argv)
    return {"checks": examine(open_model(args.model, args.text_encoder, args.vae) if args.model else None)}


if __name__ == "__main__":
    status = run_json_program(doctor)
    sys.stderr.flush()
    os._exit(status)  # native thread pools of the libraries may crash at a normal exit
