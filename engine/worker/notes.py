"""Notes of a worker for the user, each sent once a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.backends.base import Backend
from engine.contract import events
from engine.contract.errors import CommonArtError, Phrase, ScoreFailed


class Notifier:
    """Sends each note once, through ``notify``."""

    def __init__(self, notify: Callable[[events.Event], None]) -> None:
        self.notify = notify
        self._sent: set[str] = set()

    def _note(self, template: str, /, **fields: Any) -> None:
        if template not in self._sent:
            self._sent.add(template)
            self.notify(events.Note(template=template, fields=fields))

    def lora_of_other_base(self, name: str) -> None:
        """A LoRA whose header names another base."""
        self._note("The LoRA {name} was made for another base model; it fits by its shapes", name=name)

    def smaller(self, more: int, half: int) -> None:
        """The micro-batch had to shrink."""
        self._note("Not enough memory for {more} images at once; going on with {half}", more=more, half=half)

    def notes_of(self, backend: Backend) -> None:
        """Send the backend's own notes, such as a device that was replaced by another."""
        while backend.notes:
            note = backend.notes.pop(0)
            self._note(
                note.template, **{k: v if isinstance(v, (int, float)) else str(v) for k, v in note.fields.items()}
            )

    def unsigned(self, error: CommonArtError) -> None:
        """Why a signature or a score is missing: up to three notes, so that each is translated by itself."""
        self._note(
            "Images are saved without a safety score."
            if isinstance(error, ScoreFailed)
            else "Images are saved without a signature."
        )
        why = error.fields.get("why", str(error))
        template, fields = (why.template, why.fields) if isinstance(why, Phrase) else ("{why}", {"why": why})
        self.notify(events.Note(template=template, fields={k: str(v) for k, v in fields.items()}))
        if error.hint:
            self.notify(events.Note(template=error.hint))
