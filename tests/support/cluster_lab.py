"""A Ray cluster on this machine, in a process of its own: ``python -m tests.support.cluster_lab CPUS NODES``.

Prints the address, then obeys lines: ``kill`` (the second node, at once), ``add`` (it comes back), and the end of
standard input.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from tests.support.paths import ROOT

STORE = 100 << 20


class Lab:
    """The other side: starts that process and tells it things."""

    def __init__(self, cpus: int = 1, nodes: int = 2, **environment: str) -> None:
        light = str(ROOT / "engine" / "cluster" / "light")
        # a lease on life of two minutes for each of Ray's processes to start: the machine may be busy
        env = (
            os.environ
            | {
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_agent_register_timeout_ms": "120000",
                "RAY_raylet_start_wait_time_s": "120",
                "PYTHONPATH": os.pathsep.join([light, str(ROOT)]),
                "PYTHONWARNINGS": "ignore",
            }
            | environment
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.cluster_lab", str(cpus), str(nodes)],
            cwd=ROOT,
            encoding="utf-8",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )
        self.address = self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline().strip()
        assert line, self.process.stderr.read()[-3000:]
        return line

    def do(self, what: str) -> None:
        """``kill`` or ``add``; returns when it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        assert self._line() == what

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        self.process.wait(60)


@contextlib.contextmanager
def lab(cpus: int = 1, nodes: int = 2, **environment: str) -> Iterator[Lab]:
    """A cluster that is gone when the block ends."""
    one = Lab(cpus, nodes, **environment)
    try:
        yield one
    finally:
        one.close()


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # see engine/cluster/light
    from ray.cluster_utils import Cluster

    settings = {"num_cpus": int(sys.argv[1]), "object_store_memory": STORE, "include_log_monitor": False}
    cluster = Cluster(
        initialize_head=True, head_node_args={"include_dashboard": False, "node_name": "first", **settings}
    )
    try:
        second = cluster.add_node(node_name="second", **settings) if int(sys.argv[2]) > 1 else None
        print(cluster.address, file=out)
        for line in sys.stdin:
            what = line.strip()
            if what == "kill":
                cluster.remove_node(second, allow_graceful=False)
            elif what == "add":
                second = cluster.add_node(node_name="second", **settings)
            print(what, file=out)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
