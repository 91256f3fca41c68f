"""The evaluation itself, for a background thread."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from commonart_desktop.core.process import program
from commonart_desktop.core.settings import provenance_options
from commonart_desktop.gui.background.process_stopper import ProcessStopper
from commonart_desktop.gui.pages.evaluate.report import Report, read_report
from engine.contract.errors import CommonArtError, RunDiffers

PROGRAM = "trainer.evaluation"
TRIES = 20  # folders that may belong to another recipe


@dataclass(frozen=True)
class EvaluationRequest:
    """What is to be evaluated, as options of ``python -m trainer.evaluation``. ``limit`` 0: all prompts."""

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
        """Named by what determines the images, so that the same request continues one that was stopped.

        Encoders and reference are not part of it: they are applied to finished images.
        """
        determining = [
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
        key = hashlib.sha256(json.dumps(determining, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[
            :8
        ]
        return Path(self.outputs) / "evaluation" / f"{Path(self.name).name or 'model'}-{key}"

    def arguments(self, out: Path) -> list[str]:
        """Raises BadFile: the settings cannot be read."""
        options = [
            f"--lang={','.join(self.langs)}",
            f"--count={self.count}",
            f"--seed={self.seed}",
            f"--steps={self.steps}",
            f"--guidance={self.guidance:g}",
            f"--device={self.device}",
            f"--dtype={self.dtype}",
            *provenance_options(),
        ]
        options += [
            f"--{name}={value}"
            for name, value in (
                ("prompts", self.prompts),
                ("reference", self.reference),
                ("limit", self.limit),
                ("against", self.against),
            )
            if value
        ]
        options += [f"--encoder={e}" for e in self.encoders]
        options += [f"--lora={name}:{scale:g}" for name, scale in self.loras]
        return [*options, f"--out={out}", "--", self.model]


def evaluate(
    request: EvaluationRequest, stopper: ProcessStopper, progress: Callable[[int, int], None]
) -> Report | None:
    """Run it; None where it was stopped. Images are kept, and the next run continues from there.

    A folder with images of another recipe (the prompts file or the model changed) is left as it is, and the next one
    is used.

    Raises:
        CommonArtError: what the program reported.
    """
    try:
        for n in range(1, TRIES + 1):
            out = request.folder() if n == 1 else request.folder().with_name(f"{request.folder().name}-{n}")
            try:
                answer = program(PROGRAM, request.arguments(out), on_progress=progress, on_start=stopper.adopt)
                return read_report(str(answer["result"]), answer)
            except RunDiffers:
                if n == TRIES or stopper.requested:
                    raise
    except CommonArtError:
        if not stopper.requested:
            raise
    return None
