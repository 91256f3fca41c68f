"""Ray itself: found, joined within a bounded time, and told to keep quiet."""

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
ANSWER = 5.0  # seconds within which a port has to open
JOIN = float(
    os.environ.get("COMMONART_RAY_SECONDS", "90")
)  # seconds within which a cluster has to be joined, or one of our own started
STORE = (
    512 << 20
)  # bytes of shared memory for a cluster of this process alone: a few micro-batches and pieces of a model
_GRAMMAR = "rfc3987_syntax"  # see light/
#: Ray counts no usage, shows no bars, and gives its own processes time to start on a busy machine
_ENVIRONMENT = {
    "PYTHONSAFEPATH": "1",  # nor do they import anything from the folder that the program was started in
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TQDM": "0",
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_raylet_start_wait_time_s": "120",
}


def library() -> ModuleType:
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


def _place(address: str) -> tuple[str, int] | None:
    """Host and port. None for one that has no such form."""
    found = re.fullmatch(r"(?:ray://)?\[?([^\[\]/\s]+?)\]?:(\d{1,5})", address)
    return (found[1], int(found[2])) if found else None


def listens(place: tuple[str, int]) -> bool:
    """Whether something takes connections there."""
    try:
        socket.create_connection(place, ANSWER).close()
    except OSError:
        return False
    return True


def _knock(address: str) -> None:
    """Raises NoCluster if nothing listens there."""
    place = _place(address)
    if place is None:
        raise NoCluster(address=address, why=Phrase("an address is written like {example}", example="10.0.0.5:6379"))
    try:
        socket.create_connection(place, ANSWER).close()
    except TimeoutError as e:
        raise NoCluster(
            address=address, why=Phrase("nothing came back within {seconds} seconds", seconds=int(ANSWER))
        ) from e
    except OSError as e:
        raise NoCluster(
            address=address,
            why=Phrase("the connection is refused") if isinstance(e, ConnectionRefusedError) else system_words(e),
        ) from e


def _here(ray: Any) -> str | None:
    """The address of a cluster that runs on this machine."""
    given = os.environ.get("RAY_ADDRESS")
    if given:
        return given
    try:
        from ray._private.services import canonicalize_bootstrap_address

        found = canonicalize_bootstrap_address("auto")
        _knock(str(found))
    except (ConnectionError, NoCluster):
        return None  # none, or the traces of one that is no more
    return str(found)


def _told(error: Exception, address: str) -> CommonArtError:
    """Ray's complaint as ours."""
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
    """Ray, joined to ``address``; and whether the cluster is of this process alone.

    ``late`` hears of a cluster that takes connections and then says nothing; it has to end the process, since Ray's call cannot be left.

    Raises:
        MissingLibrary, NoCluster, ClusterVersions
    """
    ray = library()
    own = False
    if address == "auto":
        found = _here(ray)
        own, address = found is None, found or "local"
    if not own:
        _knock(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if own:
        quiet |= {"include_dashboard": False, "object_store_memory": STORE}
        light = str(Path(__file__).parent / "light")
        os.environ["PYTHONPATH"] = os.pathsep.join(p for p in (light, os.environ.get("PYTHONPATH", "")) if p)
    told = NoCluster(address=address, why=Phrase("nothing came back within {seconds} seconds", seconds=int(JOIN)))
    watch = threading.Timer(JOIN, lambda: late(told))
    watch.daemon = True
    watch.start()
    try:
        # Ray tells its workers to import from the current folder; it may have this program's own place instead
        with contextlib.chdir(Path(__file__).parents[2]):
            ray.init(address=address, namespace="commonart", **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as e:
        raise _told(e, address) from e
    finally:
        watch.cancel()
    return ray, own
