"""``python -m engine.cluster LEDGER --ray ADDRESS``: drain the queue on the machines of a Ray cluster.

Events, commands and the other options are those of ``engine.worker``.
"""

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

    def create(
        ledger: Ledger, name: str, options: WorkerOptions, notify: Callable[[events.Event], None]
    ) -> QueueWorker:
        from engine.cluster.driver import Driver

        return Driver(ledger, name, options, notify, args.ray, gpus=args.gpus_per_worker, cpus=args.cpus_per_worker)

    return serve(args, create)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # native thread pools of the libraries may crash at a normal exit
