"""Progress of generation on the terminal, from a worker's events."""

from __future__ import annotations

import json
import sys
from typing import Any

from tqdm import tqdm

from commonart_desktop.cli import complain
from commonart_desktop.cli.in_order import InOrder
from commonart_desktop.core.i18n import tr
from engine.contract import events
from engine.contract.errors import CommonArtError, EngineStopped, from_wire


class Display:
    """Paths or JSON on standard output; a bar and sentences on standard error.

    ``first`` is the ledger's number of the first image of a single job: then the lines come in that job's order, with
    an empty one for a failed image before a later one, so that line n belongs to the nth image. Without it they come as
    images are made.
    """

    def __init__(
        self, total: int, *, as_json: bool, quiet: bool, queued: bool = True, first: int | None = None
    ) -> None:
        self.as_json, self.made, self.failed = as_json, 0, 0
        self.errors: list[CommonArtError] = []
        self._told: set[str] = set()
        self._queued = queued  # there is a queue to continue
        self._first = first
        self._ordered = InOrder(self._print, gaps=not as_json)
        self._bar: tqdm[Any] = tqdm(
            total=total, unit=tr("img"), file=sys.stderr, disable=quiet, dynamic_ncols=True, smoothing=0.1
        )

    def show(self, event: events.Event) -> None:
        """One event."""
        if isinstance(event, events.Saved):
            self.made += 1
            self._bar.update(1)
            self._result(
                event.image, json.dumps(event.report, ensure_ascii=False) if self.as_json else event.report["path"]
            )
            for word in event.report["unknown_words"]:
                self.note(tr("{model} does not know the word “{word}”", model=event.report["model"], word=word))
            if event.report["prompt_cut"]:
                self.note(
                    tr("A prompt was longer than {model} reads; its end was left out", model=event.report["model"])
                )
        elif isinstance(event, events.Progress):
            self._bar.set_postfix_str(tr("step {step}/{steps}", step=event.step, steps=event.steps))
        elif isinstance(event, events.Failed):
            self.failed += 1
            self._bar.update(1)
            error = from_wire(event.error)
            self.errors.append(error)
            if self.as_json:
                failure = {k: event.error[k] for k in ("kind", "message", "hint")}
                self._result(
                    event.image,
                    json.dumps({"id": event.image, "prompt": event.prompt, "error": failure}, ensure_ascii=False),
                )
            else:
                self._result(event.image, None)
            self.complain(error)
        elif isinstance(event, events.Note):
            self.note(tr(event.template, **event.fields))
        elif isinstance(event, events.Paused):
            if event.error:
                self.complain(from_wire(event.error))
            if self._queued:
                self.note(tr("Paused."))
        elif isinstance(event, events.Resumed):
            self._told.discard(tr("Paused."))

    def _result(self, image: int, line: str | None) -> None:
        if self._first is not None:
            self._ordered.put(image - self._first, line)
        elif line is not None:
            self._print(line)

    def _print(self, line: str) -> None:
        self._bar.clear()
        print(line, flush=True)
        self._bar.refresh()

    def note(self, text: str) -> None:
        """A sentence on standard error, once."""
        if text not in self._told:
            self._told.add(text)
            self._bar.clear()
            print(f"commonart: {text}", file=sys.stderr)

    def complain(self, error: CommonArtError) -> None:
        """An error, once."""
        if str(error) not in self._told:
            self._told.add(str(error))
            self._bar.clear()
            complain(
                error,
                None
                if self._queued or not isinstance(error, EngineStopped)
                else tr("Run the same command again; what is finished is kept."),
            )

    def close(self) -> None:
        """Print what waited for an image that will not come."""
        self._ordered.flush()
        self._bar.close()

    def exit_status(self) -> int:
        """0 all generated, 1 some failed, 2 nothing could be generated because of invalid usage."""
        if not self.failed:
            return 0
        if not self.made and all(e.exit_status == 2 for e in self.errors):
            return 2
        return 1
