"""What the Evaluation page does away from the window's thread: the evaluation itself, and reading results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from commonart_desktop.core.process import program
from commonart_desktop.core.settings import provenance_options
from commonart_desktop.gui.background.process_stopper import ProcessStopper
from commonart_desktop.gui.pages.evaluate.report import Result, read_result
from engine.contract.errors import CommonArtError, RunDiffers

PROGRAM = "trainer.evaluation"
TRIES = 20  # folders that hold something else


@dataclass(frozen=True)
class EvaluationRequest:
    """What is to be evaluated, in the words of ``python -m trainer.evaluation``. ``limit`` 0: all prompts."""

    model: str
    name: str  # for people
    outputs: str
    loras: tuple[tuple[str, float], ...] = ()
    prompts: str = ""
    reference: str = ""
    encoders: tuple[str, ...] = ()
    langs: tuple[str, ...] = ("ja", "en")
    limit: int = 0
    count: int = 1
    seed: int = 1000
    steps: int = 20
    guidance: float = 4.5
    against: str = ""
    device: str = "auto"
    dtype: str = "auto"

    def folder(self) -> Path:
        """The same question finds its pictures again, so that an evaluation that was stopped goes on; encoders and reference come after them."""
        asked = [
            self.model,
            self.loras,
            self.prompts,
            self.langs,
            self.limit,
            self.count,
            self.seed,
            self.steps,
            self.guidance,
            self.device,
            self.dtype,
        ]
        key = hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:8]
        return Path(self.outputs) / "evaluation" / f"{Path(self.name).name or 'model'}-{key}"

    def arguments(self, out: Path) -> list[str]:
        """Raises BadFile: the settings cannot be read."""
        told = [
            f"--lang={','.join(self.langs)}",
            f"--count={self.count}",
            f"--seed={self.seed}",
            f"--steps={self.steps}",
            f"--guidance={self.guidance:g}",
            f"--device={self.device}",
            f"--dtype={self.dtype}",
            *provenance_options(),
        ]
        told += [
            f"--{name}={value}"
            for name, value in (
                ("prompts", self.prompts),
                ("reference", self.reference),
                ("limit", self.limit),
                ("against", self.against),
            )
            if value
        ]
        told += [f"--encoder={e}" for e in self.encoders]
        told += [f"--lora={name}:{scale:g}" for name, scale in self.loras]
        return [*told, f"--out={out}", "--", self.model]


def evaluate(order: EvaluationRequest, stopper: ProcessStopper, progress: Callable[[int, int], None]) -> Result | None:
    """Run it; None where it was stopped. What was drawn is kept, and goes on from there next time.

    A folder that holds pictures of another recipe (the prompts file or the model changed) is left as it is and the next one taken.

    Raises:
        CommonArtError: what the program told.
    """
    try:
        for n in range(1, TRIES + 1):
            out = order.folder() if n == 1 else order.folder().with_name(f"{order.folder().name}-{n}")
            try:
                answer = program(PROGRAM, order.arguments(out), on_progress=progress, on_start=stopper.adopt)
                return read_result(str(answer["result"]), answer)
            except RunDiffers:
                if n == TRIES or stopper.requested:
                    raise
    except CommonArtError:
        if not stopper.requested:
            raise
    return None
