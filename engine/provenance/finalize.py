"""The last step before an image is written: its bytes, labelled and signed as the user chose.

It never costs the image.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.contract.errors import CommonArtError, Phrase, ScoreFailed, SigningFailed
from engine.contract.provenance_policy import ProvenancePolicy
from engine.imagefile.image import decode, encode_image, with_metadata
from engine.imagefile.xmp import label_of
from engine.provenance.prompt_redaction import redact_prompt
from engine.provenance.safety_score import Scorer, scorer

if TYPE_CHECKING:
    from engine.provenance.sign import Signer


@dataclass(frozen=True)
class FinalizedImage:
    """A file's bytes, and whether they are signed."""

    data: bytes
    signed: bool


class ImageFinalizer:
    """One per worker, shared by its writer threads.

    ``complain`` is called once with the reason if images stay unsigned.
    """

    def __init__(self, policy: ProvenancePolicy, complain: Callable[[CommonArtError], None]) -> None:
        self.policy, self._complain = policy, complain
        self._lock = threading.Lock()
        self._signer: Signer | None = None
        self._scorer: Scorer | None = None
        self._no_score = not policy.safety
        self._complained = False
        self._unavailable = False

    def redacted(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """The recipe as it is written into the file."""
        return redact_prompt(recipe) if self.policy.prompt == "hash" else recipe

    def pack(self, pixels: np.ndarray[Any, Any], kind: str, recipe: dict[str, Any]) -> FinalizedImage:
        """``finalize`` of uint8 RGB ``[height, width, 3]``."""
        return self.finalize(encode_image(pixels, kind), kind, pixels.shape[1], pixels.shape[0], recipe)

    def finalize(self, coded: bytes, kind: str, width: int, height: int, recipe: dict[str, Any]) -> FinalizedImage:
        """The output of ``encode_image`` with the recipe and label, signed if the user wants it and it is possible."""
        recipe = self.redacted(recipe)

        def file(credentials: bool) -> bytes:
            return with_metadata(coded, kind, width, height, recipe, label_of(recipe, self.policy, credentials))

        signer = self._open() if self.policy.sign else None
        if signer is not None:
            try:
                return FinalizedImage(signer.sign(file(True), kind, recipe), True)
            except SigningFailed as e:
                self._fail(e)
        return FinalizedImage(file(False), False)

    def score(self, pixels: np.ndarray[Any, Any] | bytes, recipe: dict[str, Any]) -> dict[str, Any]:
        """The recipe with ``safety``, a name and a score, if the user wants one; ``complain`` is called if it fails.

        ``pixels`` may be coded.
        """
        with self._lock:
            if self._scorer is None and not self._no_score:
                try:
                    self._scorer = scorer(self.policy.safety)
                except Exception as e:  # a package that does not load costs the score, not the image
                    self._no_score = True
                    self._complain(
                        ScoreFailed(
                            why=Phrase(e.message, **e.fields)
                            if isinstance(e, CommonArtError)
                            else f"{type(e).__name__}: {e}"
                        )
                    )
        if self._scorer is None:
            return recipe
        return recipe | {
            "safety": {
                "name": self.policy.safety,
                "score": self._scorer(decode(pixels) if isinstance(pixels, bytes) else pixels),
            }
        }

    def warm(self) -> None:
        """Open the signer while a model loads, so that the first image does not wait for it."""
        if self.policy.sign and self._signer is None and not self._unavailable:
            threading.Thread(target=self._open, name="signer", daemon=True).start()

    def _open(self) -> Signer | None:
        with self._lock:
            if self._signer is None and not self._unavailable:
                try:
                    from engine.provenance.sign import (
                        Signer,
                    )  # its libraries may be missing: images are made all the same

                    self._signer = Signer(self.policy)
                except Exception as e:  # a library that does not load costs the signature, not the image
                    self._unavailable = True
                    self._fail(e if isinstance(e, CommonArtError) else CommonArtError(why=f"{type(e).__name__}: {e}"))
            return self._signer

    def _fail(self, error: CommonArtError) -> None:
        if not self._complained:
            self._complained = True
            self._complain(error)

    def close(self) -> None:
        """Release the key."""
        with self._lock:
            if self._signer is not None:
                self._signer.close()
            self._signer, self._unavailable = None, True
