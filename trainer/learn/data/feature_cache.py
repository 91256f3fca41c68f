"""Latents and caption features, computed once and cached on disk; VAE and text encoder are unloaded before training.

A latent's file is named by the image's SHA-256, its bucket and whether it is mirrored, in a folder named by the VAE's
hash, so that another image, bucket or VAE never finds an old file. The content has its own checksum, and a file that
fails it is written again. Mean and standard deviation of the posterior are stored in fp16 (rounding 5e-4, far below the
noise that is added), so that training can sample anew each time. Captions are cached in
``engine.models.text_encoder.FeatureStore``.

Memory at full size (CommonArt β, 512 x 512, bf16): the language model's 14 GB are never loaded with the denoiser. A
LoRA run needs 1.22 GB of frozen weights; a LoRA of rank 32 on all attention layers has 2 * 8 * 28 * 1152 * 32 = 16.5 M
parameters, so 66 MB in fp32, 66 MB of gradients and 132 MB of AdamW; activations are some 1.3 GB per image
(docs/training.md). Eight images fit 16 GB, sixteen 24 GB.
"""

from __future__ import annotations

import gc
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.memory_plan import SIXTEEN_BIT_ENCODER
from engine.checkpoint.weights import read_header, weight_files
from engine.contract.errors import BrokenWeights
from engine.contract.files import replacing
from engine.contract.paths import home
from engine.models.text_encoder import CaptionEncoder, FeatureStore
from trainer.dataset.images import load_rgb
from trainer.learn.data.samples import TrainingImage

VERSION = "2"  # of the preparation of pixels: another resampling is another cache
Progress = Callable[[str, int, int], None]


def fitted(path: Path, bucket: tuple[int, int], mirrored: bool) -> Tensor:
    """float32 ``[1, 3, height, width]`` in [-1, 1]: scaled to cover the bucket, centre-cropped. Raises BadPicture."""
    image = load_rgb(path)
    scale = max(bucket[0] / image.width, bucket[1] / image.height)
    size = max(bucket[0], round(image.width * scale)), max(bucket[1], round(image.height * scale))
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    left, top = (size[0] - bucket[0]) // 2, (size[1] - bucket[1]) // 2
    image = image.crop((left, top, left + bucket[0], top + bucket[1]))
    if mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float().div(127.5).sub(1)


class FeatureCache:
    """Latents and caption features of one base model.

    ``share`` is (index of this process, number of processes): each prepares its part, all read everything.
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        device: torch.device,
        text_dtype: str,
        memory: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._folder, self._device, self._share, self._memory_limit = folder, device, share, memory
        hashes = folder.hashes()
        vae_config = (folder.vae / "config.json").read_bytes()
        self._vae_hash = hashlib.sha256(f"{VERSION} {hashes['vae']} ".encode() + vae_config).hexdigest()
        self._latents = home() / "cache" / "latents" / self._vae_hash[:16]
        self._text_dtype = _text_dtype(folder, text_dtype, device)
        self._texts = FeatureStore(hashes["text_encoder"], self._text_dtype)
        self._vae: Any = None
        self._encoder: CaptionEncoder | None = None
        self._recent: OrderedDict[Any, Any] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()
        self._progress: Progress = lambda what, done, total: None
        config = folder.vae_config
        self.scale, self.shift = (
            float(config.get("scaling_factor") or 0.18215),
            float(config.get("shift_factor") or 0.0),
        )

    def prepare(
        self,
        items: Sequence[TrainingImage],
        captions: Iterable[str],
        *,
        mirrored: bool,
        progress: Progress | None = None,
    ) -> None:
        """Compute what is missing or damaged. Afterwards neither VAE nor text encoder is in memory.

        Raises:
            BadPicture: an image that passed the gate cannot be read any more. BrokenWeights, WrongTokenizer, DiskFull
        """
        part, of = self._share
        self._progress = progress or self._progress
        wanted = sorted(
            {
                (i.sha256, i.bucket, side): (i, side)
                for i in items
                for side in ((False, True) if mirrored else (False,))
            }.items()
        )[part::of]
        missing = [pair for key, pair in wanted if self._read(self._file(*key), key[0]) is None]
        with ThreadPoolExecutor(2, "images") as threads:  # decode a few images ahead while the VAE encodes
            queue = iter(missing)
            ahead = [(i, s, threads.submit(fitted, i.path, i.bucket, s)) for i, s in islice(queue, 4)]
            done = 0
            while ahead:
                item, side, pixels = ahead.pop(0)
                self._encode(item, side, pixels.result())
                ahead += [(i, s, threads.submit(fitted, i.path, i.bucket, s)) for i, s in islice(queue, 1)]
                done += 1
                self._progress("latents", done, len(missing))
        self._vae = None
        texts = sorted(dict.fromkeys(captions))[part::of]
        unknown = [t for t in texts if self._texts.get(t) is None]
        for n, text in enumerate(unknown):
            self._encode_text(text)
            self._progress("captions", n + 1, len(unknown))
        self.release()

    def release(self) -> None:
        """Release the memory of VAE and text encoder."""
        if self._vae is None and self._encoder is None:
            return
        self._vae = self._encoder = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def latent(self, item: TrainingImage, mirrored: bool) -> tuple[Tensor, Tensor]:
        """float32 mean and standard deviation ``[c, h, w]`` of the unscaled latents."""

        def load() -> tuple[Tensor, Tensor]:
            value = self._read(self._file(item.sha256, item.bucket, mirrored), item.sha256)
            return self._encode(item, mirrored, fitted(item.path, item.bucket, mirrored)) if value is None else value

        mean, std = self._cached((item.sha256, item.bucket, mirrored), load)
        return mean.float(), std.float()

    def text(self, caption: str) -> Tensor:
        """``[tokens, channels]`` in the encoder's dtype, on the CPU."""

        def load() -> Tensor:
            value = self._texts.get(caption)
            return self._encode_text(caption) if value is None else value.states

        states: Tensor = self._cached(caption, load)
        return states

    def scaled(self, latents: Tensor) -> Tensor:
        """The VAE's latents shifted and scaled for the denoiser."""
        return (latents - self.shift) * self.scale

    def _file(self, sha256: str, bucket: tuple[int, int], mirrored: bool) -> Path:
        return (
            self._latents
            / sha256[:2]
            / f"{sha256}-{bucket[0]}x{bucket[1]}{'-mirrored' if mirrored else ''}.safetensors"
        )

    def _read(self, file: Path, sha256: str) -> tuple[Tensor, Tensor] | None:
        """The content of a cache file; None if it is missing, damaged or of another image or VAE."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "pt") as f:
                metadata, mean, std = f.metadata() or {}, f.get_tensor("mean"), f.get_tensor("std")
        except (OSError, SafetensorError, ValueError):
            return None
        expected = {"picture": sha256, "vae": self._vae_hash, "sum": _checksum(mean, std)}
        return (mean, std) if all(metadata.get(k) == v for k, v in expected.items()) else None

    @torch.no_grad()
    def _encode(self, item: TrainingImage, mirrored: bool, pixels: Tensor) -> tuple[Tensor, Tensor]:
        from safetensors.torch import save

        if self._vae is None:
            from engine.backends.pytorch.load import load_vae

            self._vae = load_vae(self._folder, self._device, torch.float32)
        posterior = self._vae.encode(pixels.to(self._device), return_dict=False)[0]
        mean, std = (x[0].half().cpu().contiguous() for x in (posterior.mean, posterior.std))
        file = self._file(item.sha256, item.bucket, mirrored)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as f:
            f.write(
                save(
                    {"mean": mean, "std": std},
                    {"picture": item.sha256, "vae": self._vae_hash, "sum": _checksum(mean, std)},
                )
            )
        return mean, std

    def _encode_text(self, text: str) -> Tensor:
        if self._encoder is None:
            self._encoder = self._load_encoder()
        feature = self._encoder.encode(text)
        self._texts.put(text, feature)
        return feature.states.clone()  # autograd refuses tensors of inference mode

    def _load_encoder(self) -> CaptionEncoder:
        """Load it on the device, or on the CPU if it does not fit there."""
        try:
            return CaptionEncoder(self._folder, device=self._device, dtype=self._text_dtype)
        except BrokenWeights as e:
            if self._device.type == "cpu" or not isinstance(e.__cause__, torch.OutOfMemoryError):
                raise
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return CaptionEncoder(self._folder, device=torch.device("cpu"), dtype=self._text_dtype)

    def _cached(self, key: Any, load: Callable[[], Any]) -> Any:
        """A bounded LRU cache of what was read."""
        with self._lock:  # rows are prepared in a thread while previews are drawn
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
            value = _copied(load())
            self._recent[key] = value
            self._cached_bytes += _bytes(value)
            while self._cached_bytes > self._memory_limit and len(self._recent) > 1:
                self._cached_bytes -= _bytes(self._recent.popitem(last=False)[1])
            return value


def _copied(value: Any) -> Any:
    """A copy: tensors that were read are mapped files.

    A process may have only so many mappings (65,530 by default on Linux), fewer than a large dataset has captions.
    """
    return tuple(t.clone() for t in value) if isinstance(value, tuple) else value.clone()


def _bytes(value: Any) -> int:
    return sum(t.numel() * t.element_size() for t in (value if isinstance(value, tuple) else (value,)))


def _checksum(mean: Tensor, std: Tensor) -> str:
    return hashlib.sha256(mean.numpy().tobytes() + std.numpy().tobytes()).hexdigest()


def _text_dtype(folder: ModelFolder, wanted: str, device: torch.device) -> torch.dtype:
    """The configured dtype; else the one of image generation, so that both share the cached features."""
    from engine.backends.pytorch.devices import DTYPES, choose_dtype

    if wanted != "auto":
        return DTYPES[wanted]
    dtype = DTYPES[choose_dtype("auto", device)]
    size = sum(e.stop - e.start for f in weight_files(folder.text_encoder) for e in read_header(f).values())
    return torch.bfloat16 if dtype == torch.float32 and size > SIXTEEN_BIT_ENCODER else dtype
