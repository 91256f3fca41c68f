"""Captions to features: from the store, else by the exported text encoder, which is loaded only if some caption is new."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.backends.onnx.sessions import Device, open_session
from engine.checkpoint.config_files import read_config
from engine.checkpoint.layout import ModelFolder
from engine.contract.errors import BrokenWeights, CommonArtError, Phrase, WrongTokenizer
from engine.contract.files import replacing
from engine.system.caption_cache import file_of, part_of
from engine.system.paths import home

LARGE = (
    1 << 30
)  # bytes: an encoder above this leaves memory before denoising, and is worth loading only for many captions
AHEAD = 512  # captions encoded in one go then


@dataclass(frozen=True)
class Feature:
    """One caption as the denoiser reads it: ``[tokens, channels]``, float32 or float16."""

    states: np.ndarray[Any, Any]
    cut: bool  # the caption was longer than the model reads

    @property
    def tokens(self) -> int:
        return len(self.states)


class CaptionFeatures:
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
            self._plain, self._short = Tokenizer.from_file(str(file)), Tokenizer.from_file(str(file))
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
        for tokenizer in (self._plain, self._short):
            tokenizer.no_padding()
        self._plain.no_truncation()
        try:
            self._short.enable_truncation(
                self.max_tokens, direction="left" if settings.get("truncation_side") == "left" else "right"
            )
        except Exception as e:  # fewer tokens than the marks it adds
            raise WrongTokenizer(
                path=folder.tokenizer, why=Phrase("it cannot be read ({reason})", reason=_line(e))
            ) from e
        pad = settings.get("pad_token")
        self._pad = self._plain.token_to_id(str(pad.get("content") if isinstance(pad, dict) else pad or "<pad>")) or 0
        rows = folder.text_config.get("vocab_size")
        if isinstance(rows, int) and self._plain.get_vocab_size() > rows:
            raise WrongTokenizer(
                path=folder.tokenizer,
                why=Phrase(
                    "it has {tokens} tokens, the encoder knows {rows}", tokens=self._plain.get_vocab_size(), rows=rows
                ),
            )

    def ids(self, text: str) -> tuple[list[int], list[int], bool]:
        """(token ids, mask, whether the caption was cut). No padding, but for a caption without any token: see ``engine.models.text_encoder``."""
        if self._pixart_text:
            text = text.lower().strip()
        ids = self._plain.encode(text).ids
        if len(ids) > self.max_tokens:
            return (short := self._short.encode(text).ids), [1] * len(short), True
        if not ids:
            return [self._pad] * self.max_tokens, [0] * self.max_tokens, False
        return ids, [1] * len(ids), False


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def packed(feature: Feature) -> bytes:
    """A safetensors file, written here: the library need not be installed where exported models run."""
    states = np.ascontiguousarray(feature.states)
    head = json.dumps(
        {
            "__metadata__": {"cut": str(int(feature.cut))},
            "states": {
                "dtype": {4: "F32", 2: "F16"}[states.itemsize],
                "shape": list(states.shape),
                "data_offsets": [0, states.nbytes],
            },
        }
    ).encode()
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + states.astype(states.dtype.newbyteorder("<"), copy=False).tobytes()


def unpacked(data: bytes) -> Feature:
    """What ``packed`` wrote. Raises ValueError, TypeError, LookupError, AttributeError, RecursionError: the file is damaged."""
    start = 8 + int.from_bytes(data[:8], "little")
    head = json.loads(data[8:start])
    row, (begin, end) = head["states"], head["states"]["data_offsets"]
    if start + end != len(data) or begin != 0 or len(row["shape"]) != 2:
        raise ValueError("cut off")
    kind = np.dtype({"F32": "<f4", "F16": "<f2"}[row["dtype"]])
    return Feature(
        np.frombuffer(data, kind, offset=start).reshape(row["shape"]), head.get("__metadata__", {}).get("cut") == "1"
    )


class FeatureStore:
    """Features on disk, one safetensors file a caption, keyed by encoder hash, dtype and text, as those of ``engine.models.text_encoder``."""

    def __init__(self, folder: Path, encoder_sha256: str, dtype: str) -> None:
        self._folder = folder / part_of(encoder_sha256, dtype)

    def _file(self, text: str) -> Path:
        return file_of(self._folder, text)

    def has(self, text: str) -> bool:
        return self._file(text).exists()

    def get(self, text: str) -> Feature | None:
        """None if it is not there or cannot be read."""
        try:
            return unpacked(self._file(text).read_bytes())
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None

    def put(self, text: str, feature: Feature) -> None:
        """Keep one; a disk that refuses costs only the time to encode again."""
        file = self._file(text)
        with contextlib.suppress(OSError, CommonArtError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file, durable=False) as f:
                f.write(packed(feature))


class Encoder:
    """The text side of one model."""

    def __init__(
        self, folder: ModelFolder, sha256: str, device: Device, dtype: str, size: int, tell: Callable[[Phrase], None]
    ) -> None:
        self._folder, self._device, self._bytes, self._tell = folder, device, size, tell
        self._captions = CaptionFeatures(folder)
        self._store = FeatureStore(home() / "cache" / "text", sha256, f"onnx-{dtype}")
        self._session: Any = None
        self._recent: dict[str, Feature] = {}

    def _encode(self, text: str) -> Feature:
        """Each caption alone and without padding, so that what one gives never depends on the others."""
        if self._session is None:
            self._session, note = open_session(self._folder.text_encoder / "model.onnx", self._device)
            if note:
                self._tell(note)
        ids, mask, cut = self._captions.ids(text)
        feed = {"input_ids": np.array([ids], np.int64), "attention_mask": np.array([mask], np.int64)}
        states = self._session.run(["last_hidden_state"], feed)[0][0]
        if not bool(np.isfinite(states).all()):
            raise BrokenWeights(path=self._folder.text_encoder, why=Phrase("its features are not numbers"))
        return Feature(np.ascontiguousarray(states), cut)

    def encode(
        self, texts: Sequence[str], upcoming: Callable[[int], Iterable[str]] | None = None
    ) -> dict[str, Feature]:
        """Features of every text; texts seen in the last calls cost nothing.

        If a large encoder has to be loaded, ``upcoming(n)`` is asked for the next captions and they are stored too.
        """
        wanted = dict.fromkeys(texts)
        found = {t: self._recent[t] for t in wanted if t in self._recent}
        missing = []
        for text in wanted:
            if text in found:
                continue
            stored = self._store.get(text)
            if stored is None:
                missing.append(text)
            else:
                found[text] = stored
        for text in missing:
            found[text] = self._encode(text)
            self._store.put(text, found[text])
        if missing and self._bytes > LARGE and upcoming:
            for text in dict.fromkeys(upcoming(AHEAD)):
                if text not in found and not self._store.has(text):
                    self._store.put(text, self._encode(text))
        self._recent = {**self._recent, **found}
        while len(self._recent) > 256:  # a few rounds' worth; the store has the rest
            self._recent.pop(next(iter(self._recent)))
        if missing and self._bytes > (4 * LARGE if self._device.name == "cpu" else LARGE):
            self.drop()
        return found

    def drop(self) -> None:
        """Free the text encoder; it is loaded again when a new caption comes."""
        self._session = None
