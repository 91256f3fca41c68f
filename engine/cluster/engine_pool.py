"""Who draws: engines are started on machines that come, and let go with those that leave, die or are of no use."""

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

DOUBT, DOUBT_REMOTE = 1.0, 20.0  # seconds
REVIVE = 30.0  # seconds between two tries to reach a machine that was lost
PATIENCE = 20.0  # seconds without any machine that can work, after which the user is told


class EnginePool(QueueWorker):
    """The machines' side of the driver."""

    _ray: Any
    _calls: RemoteCalls
    _bringing: ModelTransfer

    def __init__(
        self, ledger: Ledger, name: str, options: WorkerOptions, say: Callable[[events.Event], None], shares: NodeShares
    ) -> None:
        super().__init__(ledger, name, options, say)
        self._shares = shares
        self._nodes = Nodes(say)
        self._hands: list[RemoteEngine] = []
        self._owner: dict[int, int] = {}  # row -> the flight whose picture of it counts
        self._doubts: list[tuple[float, RemoteEngine, Exception]] = []
        self._when: dict[str, float] = {}
        self._noted: set[tuple[str, str]] = set()

    def _give_back(self, hands: Sequence[RemoteEngine]) -> None:
        """What these engines have in hand waits again."""
        raise NotImplementedError

    def _join(self, ray: Any, remote: bool) -> None:
        """``remote``: only a door of the cluster can be reached from here, not its machines."""
        self._ray, self._remote = ray, remote
        self._hand_class = ray.remote(concurrency_groups=GROUPS)(EngineActor)

    def _note(self, template: str, /, **fields: Any) -> None:
        if (template, str(fields)) not in self._noted:
            self._noted.add((template, str(fields)))
            self.notify(events.Note(template=template, fields=fields))

    def _nobody(self) -> None:
        """Pictures wait and no machine can make them. Raises NodeRefused and its kin if none is left that might."""
        since = self._when.setdefault("nobody", time.monotonic())
        if time.monotonic() - since < PATIENCE:
            return
        refused = [n for n in self._nodes.known.values() if n.error is not None and n.state == "refused"]
        if refused and self.options.until_empty:
            raise refused[-1].error or NodeRefused(node=refused[-1].name, why="?")
        self._note("No machine of the cluster can make images at the moment; waiting for one")

    def _look(self) -> None:
        listed = self._ray.nodes()
        came, went = self._nodes.look(listed)
        for node in went:
            self._leave(node)
        if self._due("revive", REVIVE):  # those that could not be reached for a while, and that Ray never missed
            alive = {n["NodeID"] for n in listed if n["Alive"]}
            came += [
                n
                for n in self._nodes.known.values()
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
                            "it has {have} GPU(s), and an engine is to get {want}",
                            have=node.resources["GPU"],
                            want=self._shares.gpus,
                        ),
                    ),
                )
            for share in shares:
                self._start(node, share)
        self._judge()

    def _leave(self, node: Node) -> None:
        """This machine is gone, through nobody's fault."""
        node.state, node.error = "lost", NodeLost(node=node.name)
        self._note("{node} has gone; what it had in hand waits again", node=node.name)
        for held in [h for h in self._hands if h.node is node]:
            self._lose(held, blame=False)

    def _due(self, what: str, seconds: float) -> bool:
        """Whether it is time to do that again."""
        now = time.monotonic()
        if now - self._when.get(what, -1e9) < seconds:
            return False
        self._when[what] = now
        return True

    def _start(self, node: Node, share: dict[str, float]) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        device = self.options.device.split(":")[0]  # which card is Ray's to say
        given = {"kind": self.options.kind, "device": device, "memory": self.options.memory}
        here = NodeAffinitySchedulingStrategy(node.id, soft=False)
        actor = self._hand_class.options(max_restarts=0, max_task_retries=0, scheduling_strategy=here, **share).remote(
            given, node.name
        )
        held = RemoteEngine(actor, node)
        self._hands.append(held)
        node.workers += 1

        def greeted(answer: dict[str, Any]) -> None:
            if (answer.get("protocol"), answer.get("version")) != (PROTOCOL, VERSION):
                self._refuse(
                    held,
                    ClusterVersions(
                        node=node.name, what="commonart-desktop", found=answer.get("version"), wanted=VERSION
                    ),
                )
                return
            held.busy = False
            node.state = "ready" if node.state == "loading" else node.state

        self._calls.ask(held, "hello", then=greeted)

    def _refuse(self, held: RemoteEngine, error: CommonArtError) -> None:
        """This machine is of no use; the others go on."""
        node = held.node
        if not isinstance(error, (ClusterVersions, NodeRefused)) and "node" not in error.fields:
            error = NodeRefused(node=node.name, why=Phrase(error.message, **error.fields))
        first = node.error is None
        node.state, node.error = "refused", error
        if first:
            self._note(
                error.message, **{k: v if isinstance(v, (int, float)) else str(v) for k, v in error.fields.items()}
            )
        for one in [h for h in self._hands if h.node is node]:
            self._lose(one, blame=False)

    def _died(self, held: RemoteEngine, error: Exception) -> None:
        """An engine is gone. That its machine went with it may be known a moment later: until then nobody is blamed."""
        if not any(h is held for _, h, _ in self._doubts):
            held.busy = True
            self._doubts.append((time.monotonic() + (DOUBT_REMOTE if self._remote else DOUBT), held, error))

    def _judge(self) -> None:
        """Engines that are gone on machines that are still there."""
        due = [d for d in self._doubts if d[0] <= time.monotonic() or not d[1].alive]
        self._doubts = [d for d in self._doubts if not any(d is one for one in due)]
        for _, held, error in due:
            if held.alive:
                self._blame(held, error)

    def _there(self, node: Node) -> bool:
        """Whether the machine is. Ray itself may take a quarter of a minute to see that one is gone."""
        if node.id not in {n["NodeID"] for n in self._ray.nodes() if n["Alive"]}:
            return False
        return self._remote or ray_connection.listens(node.address)

    def _blame(self, held: RemoteEngine, error: Exception) -> None:
        node = held.node
        if "node has died" in str(error) or getattr(error, "preempted", False) or not self._there(node):
            self._leave(node)
            return
        if not held.facts and not held.flights and ("ModuleNotFound" in str(error) or "ImportError" in str(error)):
            self._refuse(held, NodeRefused(node=node.name, why=Phrase("CommonArt Desktop is not installed there")))
            return
        self._lose(held, blame=True)
        node.deaths += 1
        if node.deaths > MAX_DEATHS:
            self._refuse(
                held,
                NodeRefused(node=node.name, why=Phrase("its engine died {times} times in a row", times=node.deaths)),
            )
            return
        self._note(
            "An engine on {node} stopped unexpectedly and was started again; nothing finished is lost", node=node.name
        )
        shares = self._shares.engines(node.resources)
        if shares:
            self._start(node, shares[0])

    def _lose(self, held: RemoteEngine, *, blame: bool) -> None:
        """Take back what this engine had in hand. With ``blame`` the pictures it was at are suspects, as after a death here."""
        if not held.alive:
            return
        held.alive = False
        held.node.workers -= 1
        self._hands.remove(held)
        self._calls.forget(held)
        self._ray.kill(held.actor)
        guilty = {
            i: r
            for f in held.flights.values()
            if f.begun and blame
            for i, r in f.rows.items()
            if self._owner.get(i) == f.id
        }
        for image in self.ledger.mark_suspect_or_fail(list(guilty), self.name):
            self.notify(
                events.Failed(
                    image=image, prompt=guilty[image].request.prompt, error=WorkerDied(times=MAX_DEATHS).to_wire()
                )
            )
        for image in guilty:
            self._owner.pop(image, None)
        self._bringing.gone(held)
        self._give_back([held])
