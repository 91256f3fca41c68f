"""Ray: find a cluster, join it within a bounded time, and silence it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.contract.errors import ClusterVersions, CommonArtError, MissingLibrary, NoCluster, Phrase, system_words
from engine.contract.python_process import pip_install

EXTRA = "commonart-desktop[cluster]"
CONNECT_SECONDS = 5.0  # seconds within which a port has to open
#: Within this time a cluster has to be joined, or one of our own started.
JOIN_SECONDS = float(os.environ.get("COMMONART_RAY_SECONDS", "90"))
#: Shared memory for a cluster of this process alone: a few micro-batches and chunks of a model.
OBJECT_STORE_BYTES = 512 << 20
_GRAMMAR = "rfc3987_syntax"  # see light/
#: Ray reports no usage, shows no progress bars, and gives its own processes time to start on a busy machine.
_ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",  # they import nothing from the folder that the program was started in
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TQDM": "0",
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_raylet_start_wait_time_s": "120",
}


def import_ray() -> ModuleType:
    """Ray, imported.

    Raises:
        MissingLibrary
    """
    os.environ.update(
        _ENVIRONMENT | {k: os.environ[k] for k in _ENVIRONMENT if k.startswith("RAY_a") and k in os.environ}
    )
    spared = _GRAMMAR not in sys.modules
    if spared:
        sys.modules[_GRAMMAR] = None  # type: ignore[assignment]
    try:
        import ray
    except ModuleNotFoundError as e:
        raise MissingLibrary(name="ray", command=pip_install(EXTRA)) from e
    finally:
        if spared:
            del sys.modules[_GRAMMAR]
    return ray


def _parse_address(address: str) -> tuple[str, int] | None:
    """(host, port), or None if the address has another form."""
    match = re.fullmatch(r"(?:ray://)?\[?([^\[\]/\s]+?)\]?:(\d{1,5})", address)
    return (match[1], int(match[2])) if match else None


def listens(host_port: tuple[str, int]) -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection(host_port, CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _require_listener(address: str) -> None:
    """Raises NoCluster if nothing listens there."""
    host_port = _parse_address(address)
    if host_port is None:
        raise NoCluster(address=address, why=Phrase("an address is written like {example}", example="10.0.0.5:6379"))
    try:
        socket.create_connection(host_port, CONNECT_SECONDS).close()
    except TimeoutError as e:
        raise NoCluster(
            address=address, why=Phrase("nothing came back within {seconds} seconds", seconds=int(CONNECT_SECONDS))
        ) from e
    except OSError as e:
        raise NoCluster(
            address=address,
            why=Phrase("the connection is refused") if isinstance(e, ConnectionRefusedError) else system_words(e),
        ) from e


def _local_cluster(ray: Any) -> str | None:
    """The address of a cluster that runs on this machine, or None."""
    given = os.environ.get("RAY_ADDRESS")
    if given:
        return given
    try:
        from ray._private.services import canonicalize_bootstrap_address

        address = canonicalize_bootstrap_address("auto")
        _require_listener(str(address))
    except (ConnectionError, NoCluster):
        return None  # none, or files left by one that has ended
    return str(address)


def _translate(error: Exception, address: str) -> CommonArtError:
    """Ray's error as one of ours."""
    text = str(error)
    versions = re.findall(r"(Ray|Python): (\S+)", text) if "ersion mismatch" in text else []
    pairs = {what: [v for w, v in versions if w == what] for what in ("Ray", "Python")}
    for what, found in pairs.items():
        if len(found) == 2 and found[0] != found[1]:
            return ClusterVersions(node=address, what=what, found=found[0], wanted=found[1])
    if "Ray expects this IP address" in text or "raylet" in text.lower():
        return NoCluster(
            address=address,
            why=Phrase("this machine does not belong to it yet; run: ray start --address={address}", address=address),
        )
    return NoCluster(address=address, why=(text.strip().splitlines() or [type(error).__name__])[0][:200])


def join(address: str, late: Callable[[CommonArtError], None]) -> tuple[ModuleType, bool]:
    """(Ray, connected to ``address``; whether the cluster is of this process alone).

    ``late`` is called if a cluster accepts connections and then never answers; it has to end the process, since Ray's
    call cannot be interrupted.

    Raises:
        MissingLibrary, NoCluster, ClusterVersions
    """
    ray = import_ray()
    own = False
    if address == "auto":
        found = _local_cluster(ray)
        own, address = found is None, found or "local"
    if not own:
        _require_listener(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if own:
        quiet |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
        light = str(Path(__file__).parent / "light")
        os.environ["PYTHONPATH"] = os.pathsep.join(p for p in (light, os.environ.get("PYTHONPATH", "")) if p)
    timeout = NoCluster(
        address=address, why=Phrase("nothing came back within {seconds} seconds", seconds=int(JOIN_SECONDS))
    )
    watch = threading.Timer(JOIN_SECONDS, lambda: late(timeout))
    watch.daemon = True
    watch.start()
    try:
        # Ray has its workers import from the current folder: let that be this program's own
        with contextlib.chdir(Path(__file__).parents[2]):
            ray.init(address=address, namespace="commonart", **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as e:
        raise _translate(e, address) from e
    finally:
        watch.cancel()
    return ray, own
