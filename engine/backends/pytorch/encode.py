"""Captions to features: from the store, else by the text encoder, which is loaded only for new captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from engine.backends.row_threads import RowThreads
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.memory_plan import EVICTED_ENCODER, SIXTEEN_BIT_ENCODER
from engine.checkpoint.weights import read_header, weight_files
from engine.models.llama import LlamaEncoder, open_llama
from engine.models.text_encoder import CaptionEncoder, Feature, FeatureStore

#: bytes: for smaller encoders the interpreter takes much of the time, and a second thread did not help
SINGLE_THREAD_ENCODER = 64 << 20
AHEAD = 512  # captions encoded at once by an encoder above EVICTED_ENCODER
RECENT = 256  # captions whose features stay in memory: a few rounds; the store has the rest


class Encoder:
    """The text side of one model."""

    def __init__(
        self,
        folder: ModelFolder,
        sha256: str,
        device: torch.device,
        dtype: torch.dtype,
        lanes: Callable[[int], RowThreads],
        transient: bool = False,
        small: bool = False,
    ) -> None:
        """Nothing is loaded yet.

        Args:
            folder: the model.
            sha256: the encoder's hash.
            device: where it runs.
            dtype: of the model.
            lanes: the threads for so many captions.
            transient: the memory plan has room for the encoder only while it works, whatever the device.
            small: in 8 bits, see ``open_llama``.
        """
        self._folder, self._device, self._lanes, self._transient = folder, device, lanes, transient
        self._bytes = sum(e.stop - e.start for f in weight_files(folder.text_encoder) for e in read_header(f).values())
        # A 7 B language model in fp32 would need 28 GB; on the CPU it stays in the bf16 it is stored in.
        self._dtype = torch.bfloat16 if dtype == torch.float32 and self._bytes > SIXTEEN_BIT_ENCODER else dtype
        self._small = small
        # features of another precision are other features: a store of their own
        self._store = FeatureStore(f"int8-{sha256}" if small else sha256, self._dtype)
        self._loaded: CaptionEncoder | LlamaEncoder | None = None
        self._recent: dict[str, Feature] = {}

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
        if missing:
            if self._loaded is None:
                self._loaded = open_llama(
                    self._folder, device=self._device, dtype=self._dtype, small=self._small
                ) or CaptionEncoder(self._folder, device=self._device, dtype=self._dtype)
            features |= self._encode(self._loaded, missing)
            if self._bytes > EVICTED_ENCODER and upcoming:
                self._encode(
                    self._loaded,
                    [t for t in dict.fromkeys(upcoming(AHEAD)) if t not in features and not self._store.has(t)],
                )
        self._recent = {**self._recent, **features}
        while len(self._recent) > RECENT:
            self._recent.pop(next(iter(self._recent)))
        if missing and self._bytes > EVICTED_ENCODER and (self._transient or self._device.type != "cpu"):
            self.drop()
        return features

    def _encode(self, encoder: CaptionEncoder | LlamaEncoder, texts: Sequence[str]) -> dict[str, Feature]:
        """Encode and store."""

        def share(_: int, some: Sequence[str]) -> dict[str, Feature]:
            features = {}
            for text in some:
                features[text] = encoder.encode(text)
                self._store.put(text, features[text])
            return features

        if self._bytes < SINGLE_THREAD_ENCODER:
            return share(0, texts)
        return {t: f for part in self._lanes(len(texts)).map(share, texts) for t, f in part.items()}

    def drop(self) -> None:
        """Free the text encoder; it is loaded again for a new caption."""
        self._loaded = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
