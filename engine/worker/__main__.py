"""``python -m engine.worker LEDGER``: drain the queue; events on standard output, commands on standard input."""

from __future__ import annotations

import argparse
import os
import sys

from engine.worker.program import add_worker_options, serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.worker", description=__doc__)
    add_worker_options(parser)
    parser.add_argument(
        "--replay", metavar="ROWS,INDEX", help="generate each image as row INDEX of a micro-batch of ROWS"
    )
    args = parser.parse_args()
    from engine.worker.local import LocalWorker

    return serve(args, LocalWorker, tuple(int(n) for n in args.replay.split(",")) if args.replay else None)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # native thread pools may hang or crash at exit
