"""One queue over several machines."""

from __future__ import annotations

from engine.contract.errors.base import EngineError


class NoCluster(EngineError):
    kind = "no-cluster"
    message = "The cluster at {address} does not answer: {why}"
    hint = (
        "Check the address and that `ray start` runs there and on this machine; docs/cluster.md says how. Nothing was "
        "lost: without --ray the queue "
        "runs here."
    )


class ClusterVersions(EngineError):
    kind = "cluster-versions"
    message = "{node} has {what} {found}, this machine {wanted}"
    hint = "Install the same versions everywhere; the other machines go on without it."


class NodeRefused(EngineError):
    kind = "node-refused"
    message = "{node} cannot make images: {why}"
    hint = "The other machines go on. Mend that one and start Ray on it again; it is then used by itself."


class NodeDiskFull(EngineError):
    kind = "node-disk-full"
    message = "The disk of {node} has no room for the model ({need} MB)"
    hint = "The other machines go on. Free some space there, or put the model where that machine can read it."


class NodeLost(EngineError):
    kind = "node-lost"
    message = "{node} has left; its images wait again"
    hint = "Nothing was lost. If it comes back it is used by itself."
