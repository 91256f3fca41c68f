"""Captions to features: from the store, else by the text encoder, which is loaded only if some caption is new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from engine.backends.row_threads import RowThreads
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.memory_plan import EVICTED_ENCODER, SIXTEEN_BIT_ENCODER
from engine.checkpoint.weights import read_header, weight_files
from engine.models.llama import LlamaEncoder, open_llama
from engine.models.text_encoder import CaptionEncoder, Feature, FeatureStore

ALONE = (
    64 << 20
)  # bytes: below it the interpreter is much of the work, and a second thread was not seen to gain anything
AHEAD = 512  # captions encoded in one go by an encoder above EVICTED_ENCODER


class Encoder:
    """The text side of one model."""

    def __init__(
        self,
        folder: ModelFolder,
        sha256: str,
        device: torch.device,
        dtype: torch.dtype,
        lanes: Callable[[int], RowThreads],
        lone: bool = False,
        small: bool = False,
    ) -> None:
        """``lone``: memory is planned for it to be there only while it works, whatever the device.

        ``small``: in 8 bits, see ``open_llama``.
        """
        self._folder, self._device, self._lanes, self._lone = folder, device, lanes, lone
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
        """Features of every text; texts seen in the last calls cost nothing.

        If a large encoder has to be loaded, ``upcoming(n)`` is asked for the next captions and they are stored too.
        """
        wanted = dict.fromkeys(texts)
        found = {t: self._recent[t] for t in wanted if t in self._recent}
        found |= self._store.get_many([t for t in wanted if t not in found])
        missing = [t for t in wanted if t not in found]
        if missing:
            if self._loaded is None:
                self._loaded = open_llama(
                    self._folder, device=self._device, dtype=self._dtype, small=self._small
                ) or CaptionEncoder(self._folder, device=self._device, dtype=self._dtype)
            found |= self._fresh(self._loaded, missing)
            if self._bytes > EVICTED_ENCODER and upcoming:
                self._fresh(
                    self._loaded,
                    [t for t in dict.fromkeys(upcoming(AHEAD)) if t not in found and not self._store.has(t)],
                )
        self._recent = {**self._recent, **found}
        while len(self._recent) > 256:  # a few rounds' worth; the store has the rest
            self._recent.pop(next(iter(self._recent)))
        if missing and self._bytes > EVICTED_ENCODER and (self._lone or self._device.type != "cpu"):
            self.drop()
        return found

    def _fresh(self, encoder: CaptionEncoder | LlamaEncoder, texts: Sequence[str]) -> dict[str, Feature]:
        """Encode and keep."""

        def share(_: int, some: Sequence[str]) -> dict[str, Feature]:
            made = {}
            for text in some:
                made[text] = encoder.encode(text)
                self._store.put(text, made[text])
            return made

        if self._bytes < ALONE:
            return share(0, texts)
        return {t: f for part in self._lanes(len(texts)).map(share, texts) for t, f in part.items()}

    def drop(self) -> None:
        """Free the text encoder; it is loaded again when a new caption comes."""
        self._loaded = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
