"""``python -m engine.cluster LEDGER --ray ADDRESS``: drain the queue by the machines of a Ray cluster; else as ``engine.worker``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from engine.contract import events
from engine.contract.ledger.ledger import Ledger
from engine.worker.base import QueueWorker, WorkerOptions
from engine.worker.program import add_worker_options, serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.cluster", description=__doc__)
    add_worker_options(parser)
    parser.add_argument(
        "--ray",
        required=True,
        metavar="auto|ADDRESS",
        help="the cluster; auto: the one on this machine, or one of this process alone",
    )
    parser.add_argument(
        "--gpus-per-worker", type=float, default=1.0, metavar="F", help="GPUs an engine gets; 0.5 puts two on each"
    )
    parser.add_argument(
        "--cpus-per-worker",
        type=float,
        default=0.0,
        metavar="N",
        help="cores an engine gets on machines without a GPU; 0: all of them",
    )
    args = parser.parse_args()

    def make(ledger: Ledger, name: str, options: WorkerOptions, say: Callable[[events.Event], None]) -> QueueWorker:
        from engine.cluster.driver import Driver

        return Driver(ledger, name, options, say, args.ray, gpus=args.gpus_per_worker, cpus=args.cpus_per_worker)

    return serve(args, make)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # no second thoughts of native thread pools at exit
