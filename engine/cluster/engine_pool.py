"""The engines: started on machines that join, dropped with those that leave, die or turn out unusable."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from engine.cluster import ray_connection
from engine.cluster.actor import GROUPS, PROTOCOL, EngineActor
from engine.cluster.model_transfer import ModelTransfer
from engine.cluster.nodes import Node, Nodes, NodeShares
from engine.cluster.remote_calls import RemoteCalls
from engine.cluster.remote_engine import RemoteEngine
from engine.contract import events
from engine.contract.errors import ClusterVersions, CommonArtError, NodeLost, NodeRefused, Phrase, WorkerDied
from engine.contract.ledger.ledger import MAX_DEATHS, Ledger
from engine.contract.version import VERSION
from engine.worker.base import QueueWorker, WorkerOptions

GRACE, GRACE_REMOTE = 1.0, 20.0  # seconds after an engine's end before its death is handled
REVIVE = 30.0  # seconds between two tries to reach a machine that was lost
PATIENCE = 20.0  # seconds without any usable machine, after which the user is notified


class EnginePool(QueueWorker):
    """The machines' side of the driver."""

    _ray: Any
    _calls: RemoteCalls
    _transfer: ModelTransfer

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        options: WorkerOptions,
        notify: Callable[[events.Event], None],
        shares: NodeShares,
    ) -> None:
        super().__init__(ledger, name, options, notify)
        self._shares = shares
        self._nodes = Nodes(notify)
        self._engines: list[RemoteEngine] = []
        self._owner: dict[int, int] = {}  # row -> the batch whose image of it counts
        self._unconfirmed: list[tuple[float, RemoteEngine, Exception]] = []
        self._last_time: dict[str, float] = {}
        self._sent_notes: set[tuple[str, str]] = set()

    def _put_back(self, engines: Sequence[RemoteEngine]) -> None:
        """Rows of these engines wait again."""
        raise NotImplementedError

    def _join(self, ray: Any, remote: bool) -> None:
        """``remote``: only the cluster's entry point can be reached from here, not its machines."""
        self._ray, self._remote = ray, remote
        self._actor_class = ray.remote(concurrency_groups=GROUPS)(EngineActor)

    def _note(self, template: str, /, **fields: Any) -> None:
        if (template, str(fields)) not in self._sent_notes:
            self._sent_notes.add((template, str(fields)))
            self.notify(events.Note(template=template, fields=fields))

    def _report_no_machine(self) -> None:
        """Rows are waiting and no machine can generate them.

        Raises:
            ClusterVersions, NodeRefused: none is left that might.
        """
        since = self._last_time.setdefault("no_machine", time.monotonic())
        if time.monotonic() - since < PATIENCE:
            return
        refused = [n for n in self._nodes.by_id.values() if n.error is not None and n.state == "refused"]
        if refused and self.options.until_empty:
            raise refused[-1].error or NodeRefused(node=refused[-1].name, why="?")
        self._note("No machine of the cluster can make images at the moment; waiting for one")

    def _update_nodes(self) -> None:
        listed = self._ray.nodes()
        came, went = self._nodes.update(listed)
        for node in went:
            self._node_left(node)
        if self._due("revive", REVIVE):  # those that were unreachable for a while without Ray noticing
            alive = {n["NodeID"] for n in listed if n["Alive"]}
            came += [
                n
                for n in self._nodes.by_id.values()
                if n.state == "lost" and n.id in alive and not self._remote and ray_connection.listens(n.address)
            ]
        for node in came:
            node.state, node.error = "loading", None
            shares = self._shares.engines(node.resources)
            if not shares and node.resources.get("GPU"):
                node.state, node.error = (
                    "refused",
                    NodeRefused(
                        node=node.name,
                        why=Phrase(
                            "it has {have} GPU(s), but each engine needs {want}",
                            have=node.resources["GPU"],
                            want=self._shares.gpus,
                        ),
                    ),
                )
            for share in shares:
                self._start(node, share)
        self._handle_deaths()

    def _node_left(self, node: Node) -> None:
        """A machine has left; no row is to blame."""
        node.state, node.error = "lost", NodeLost(node=node.name)
        self._note("{node} has left; its images wait again", node=node.name)
        for engine in [e for e in self._engines if e.node is node]:
            self._drop_engine(engine, suspect=False)

    def _due(self, what: str, seconds: float) -> bool:
        """Whether ``seconds`` have passed since this last returned true for ``what``."""
        now = time.monotonic()
        if now - self._last_time.get(what, -1e9) < seconds:
            return False
        self._last_time[what] = now
        return True

    def _start(self, node: Node, share: dict[str, float]) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        device = self.options.device.split(":")[0]  # Ray chooses the card
        arguments = {"kind": self.options.kind, "device": device, "memory": self.options.memory}
        on_node = NodeAffinitySchedulingStrategy(node.id, soft=False)
        actor = self._actor_class.options(
            max_restarts=0, max_task_retries=0, scheduling_strategy=on_node, **share
        ).remote(arguments, node.name)
        engine = RemoteEngine(actor, node)
        self._engines.append(engine)
        node.workers += 1

        def on_hello(answer: dict[str, Any]) -> None:
            if (answer.get("protocol"), answer.get("version")) != (PROTOCOL, VERSION):
                self._refuse_node(
                    engine,
                    ClusterVersions(
                        node=node.name, what="commonart-desktop", found=answer.get("version"), wanted=VERSION
                    ),
                )
                return
            engine.busy = False
            node.state = "ready" if node.state == "loading" else node.state

        self._calls.call(engine, "hello", then=on_hello)

    def _refuse_node(self, engine: RemoteEngine, error: CommonArtError) -> None:
        """This machine cannot be used; the others continue."""
        node = engine.node
        if not isinstance(error, (ClusterVersions, NodeRefused)) and "node" not in error.fields:
            error = NodeRefused(node=node.name, why=Phrase(error.message, **error.fields))
        first = node.error is None
        node.state, node.error = "refused", error
        if first:
            self._note(
                error.message, **{k: v if isinstance(v, (int, float)) else str(v) for k, v in error.fields.items()}
            )
        for one in [e for e in self._engines if e.node is node]:
            self._drop_engine(one, suspect=False)

    def _on_engine_error(self, engine: RemoteEngine, error: Exception) -> None:
        """An engine has died. Whether its machine left too is known a moment later: until then no row is suspected."""
        if not any(e is engine for _, e, _ in self._unconfirmed):
            engine.busy = True
            self._unconfirmed.append((time.monotonic() + (GRACE_REMOTE if self._remote else GRACE), engine, error))

    def _handle_deaths(self) -> None:
        """Handle engines that died some time ago: by now it is known whether their machines have left."""
        due = [d for d in self._unconfirmed if d[0] <= time.monotonic() or not d[1].alive]
        self._unconfirmed = [d for d in self._unconfirmed if not any(d is one for one in due)]
        for _, engine, error in due:
            if engine.alive:
                self._handle_death(engine, error)

    def _is_reachable(self, node: Node) -> bool:
        """Whether the machine is still there. Ray itself may take 15 seconds to notice that one has left."""
        if node.id not in {n["NodeID"] for n in self._ray.nodes() if n["Alive"]}:
            return False
        return self._remote or ray_connection.listens(node.address)

    def _handle_death(self, engine: RemoteEngine, error: Exception) -> None:
        node = engine.node
        if "node has died" in str(error) or getattr(error, "preempted", False) or not self._is_reachable(node):
            self._node_left(node)
            return
        if not engine.facts and not engine.batches and ("ModuleNotFound" in str(error) or "ImportError" in str(error)):
            self._refuse_node(
                engine, NodeRefused(node=node.name, why=Phrase("CommonArt Desktop is not installed there"))
            )
            return
        self._drop_engine(engine, suspect=True)
        node.deaths += 1
        if node.deaths > MAX_DEATHS:
            self._refuse_node(
                engine,
                NodeRefused(node=node.name, why=Phrase("its engine died {times} times in a row", times=node.deaths)),
            )
            return
        self._note(
            "An engine on {node} stopped unexpectedly and was started again; nothing finished is lost", node=node.name
        )
        shares = self._shares.engines(node.resources)
        if shares:
            self._start(node, shares[0])

    def _drop_engine(self, engine: RemoteEngine, *, suspect: bool) -> None:
        """Put back the rows of this engine.

        With ``suspect`` those it was generating are suspects, as after a death here.
        """
        if not engine.alive:
            return
        engine.alive = False
        engine.node.workers -= 1
        self._engines.remove(engine)
        self._calls.discard(engine)
        self._ray.kill(engine.actor)
        suspects = {
            i: r
            for b in engine.batches.values()
            if b.begun and suspect
            for i, r in b.rows.items()
            if self._owner.get(i) == b.id
        }
        for image in self.ledger.mark_suspect_or_fail(list(suspects), self.name):
            self.notify(
                events.Failed(
                    image=image, prompt=suspects[image].request.prompt, error=WorkerDied(times=MAX_DEATHS).to_wire()
                )
            )
        for image in suspects:
            self._owner.pop(image, None)
        self._transfer.engine_lost(engine)
        self._put_back([engine])
