"""Captions to features: from the store, else by the exported text encoder, which is loaded only for new captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.backends.onnx.sessions import Device, open_session
from engine.checkpoint.config_files import read_config
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.memory_plan import EVICTED_ENCODER
from engine.contract.errors import BrokenWeights, Phrase, WrongTokenizer
from engine.system import caption_cache
from engine.system.caption_cache import PackedStates

AHEAD = 512  # captions encoded at once by an encoder above EVICTED_ENCODER
RECENT = 256  # captions whose features stay in memory: a few rounds; the store has the rest


@dataclass(frozen=True)
class Feature:
    """One caption as the denoiser reads it: ``[tokens, channels]``, float32 or float16."""

    states: np.ndarray[Any, Any]
    cut: bool  # the caption was longer than the model reads

    @property
    def tokens(self) -> int:
        return len(self.states)


class CaptionTokenizer:
    """A tokenizer.json under the rules of ``engine.models.text_encoder``.

    Raises:
        WrongTokenizer: it cannot be read, or has more tokens than the encoder.
    """

    def __init__(self, folder: ModelFolder) -> None:
        from tokenizers import Tokenizer

        file = folder.tokenizer / "tokenizer.json"
        if not file.is_file():
            raise WrongTokenizer(path=folder.tokenizer, why=Phrase("there is no tokenizer.json"))
        try:
            self._full, self._truncating = Tokenizer.from_file(str(file)), Tokenizer.from_file(str(file))
        except Exception as e:  # the library raises plain Exception
            raise WrongTokenizer(
                path=folder.tokenizer, why=Phrase("it cannot be read ({reason})", reason=_line(e))
            ) from e
        settings = (
            read_config(folder.tokenizer / "tokenizer_config.json")
            if (folder.tokenizer / "tokenizer_config.json").is_file()
            else {}
        )
        self.max_tokens, self._pixart_text = folder.max_tokens, folder.pixart_text
        for tokenizer in (self._full, self._truncating):
            tokenizer.no_padding()
        self._full.no_truncation()
        try:
            self._truncating.enable_truncation(
                self.max_tokens, direction="left" if settings.get("truncation_side") == "left" else "right"
            )
        except Exception as e:  # fewer tokens than the special ones it adds
            raise WrongTokenizer(
                path=folder.tokenizer, why=Phrase("it cannot be read ({reason})", reason=_line(e))
            ) from e
        pad = settings.get("pad_token")
        self._pad = self._full.token_to_id(str(pad.get("content") if isinstance(pad, dict) else pad or "<pad>")) or 0
        rows = folder.text_config.get("vocab_size")
        if isinstance(rows, int) and self._full.get_vocab_size() > rows:
            raise WrongTokenizer(
                path=folder.tokenizer,
                why=Phrase(
                    "it has {tokens} tokens, the encoder knows {rows}", tokens=self._full.get_vocab_size(), rows=rows
                ),
            )

    def ids(self, text: str) -> tuple[list[int], list[int], bool]:
        """(token ids, mask, whether the caption was cut).

        No padding except for a caption without any token: see ``engine.models.text_encoder``.
        """
        if self._pixart_text:
            text = text.lower().strip()
        ids = self._full.encode(text).ids
        if len(ids) > self.max_tokens:
            return (short := self._truncating.encode(text).ids), [1] * len(short), True
        if not ids:
            return [self._pad] * self.max_tokens, [0] * self.max_tokens, False
        return ids, [1] * len(ids), False


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


_DTYPES = {"F32": "<f4", "F16": "<f2"}


class FeatureStore(caption_cache.FeatureStore[Feature]):
    """Features of one encoder on disk."""

    def to_states(self, feature: Feature) -> PackedStates:
        """The feature as bytes."""
        dtype = {4: "F32", 2: "F16"}[feature.states.itemsize]
        return PackedStates(
            dtype, feature.states.shape, feature.states.astype(_DTYPES[dtype], copy=False).tobytes(), feature.cut
        )

    def to_feature(self, states: PackedStates) -> Feature:
        """The inverse of ``to_states``."""
        return Feature(np.frombuffer(states.data, _DTYPES[states.dtype]).reshape(states.shape), states.cut)


class Encoder:
    """The text side of one model."""

    def __init__(
        self, folder: ModelFolder, sha256: str, device: Device, dtype: str, size: int, notify: Callable[[Phrase], None]
    ) -> None:
        self._folder, self._device, self._bytes, self._notify = folder, device, size, notify
        self._tokenizer = CaptionTokenizer(folder)
        self._store = FeatureStore(sha256, f"onnx-{dtype}")
        self._session: Any = None
        self._recent: dict[str, Feature] = {}

    def _encode(self, text: str) -> Feature:
        """Each caption alone and without padding, so that its features never depend on the others."""
        if self._session is None:
            self._session, note = open_session(self._folder.text_encoder / "model.onnx", self._device)
            if note:
                self._notify(note)
        ids, mask, cut = self._tokenizer.ids(text)
        feed = {"input_ids": np.array([ids], np.int64), "attention_mask": np.array([mask], np.int64)}
        states = self._session.run(["last_hidden_state"], feed)[0][0]
        if not bool(np.isfinite(states).all()):
            raise BrokenWeights(path=self._folder.text_encoder, why=Phrase("its features are not finite"))
        return Feature(np.ascontiguousarray(states), cut)

    def encode(
        self, texts: Sequence[str], upcoming: Callable[[int], Iterable[str]] | None = None
    ) -> dict[str, Feature]:
        """Features of every text; texts of the last calls are in memory.

        If a large encoder has to be loaded, ``upcoming(n)`` gives the next captions, which are stored too.
        """
        unique = dict.fromkeys(texts)
        features = {t: self._recent[t] for t in unique if t in self._recent}
        features |= self._store.get_many([t for t in unique if t not in features])
        missing = [t for t in unique if t not in features]
        for text in missing:
            features[text] = self._encode(text)
            self._store.put(text, features[text])
        if missing and self._bytes > EVICTED_ENCODER and upcoming:
            for text in dict.fromkeys(upcoming(AHEAD)):
                if text not in features and not self._store.has(text):
                    self._store.put(text, self._encode(text))
        self._recent = {**self._recent, **features}
        while len(self._recent) > RECENT:
            self._recent.pop(next(iter(self._recent)))
        if missing and self._bytes > (4 * EVICTED_ENCODER if self._device.name == "cpu" else EVICTED_ENCODER):
            self.drop()
        return features

    def drop(self) -> None:
        """Free the text encoder; it is loaded again for a new caption."""
        self._session = None
