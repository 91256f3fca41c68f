"""An exported model on ONNX Runtime."""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort

from engine.backends.onnx import sessions
from engine.backends.onnx.arrays import ArrayMath
from engine.backends.onnx.decode import decode
from engine.backends.onnx.denoise import Predictor
from engine.backends.onnx.encode import Encoder
from engine.backends.onnx.noise import noise
from engine.backends.onnx.samplers import build_sampler
from engine.backends.row_threads import RowThreads
from engine.checkpoint.config_files import read_config
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.lora import LoraFile
from engine.checkpoint.onnxfile import GRAPH, MANIFEST, check_promised, graph_files
from engine.contract.errors import BadValue, BrokenWeights, FeatureMissing, Phrase
from engine.contract.request import ImageRequest
from engine.contract.sampling_plan import SamplingPlan
from engine.sampling.schedule import Sampler, Schedule

#: bytes: smaller parts are loaded again for threads of one core each, which is faster than sharing every operation
SMALL = 256 << 20
_INPUTS = {
    "transformer": ("hidden_states", "encoder_hidden_states", "encoder_attention_mask", "timestep"),
    "vae_decoder": ("latent_sample",),
}


def check_config(folder: ModelFolder) -> dict[str, Any]:
    """The VAE's config, with its values checked before they are used.

    Raises:
        BrokenWeights: a value is invalid.
    """
    config = folder.vae_config
    for key in ("scaling_factor", "shift_factor"):
        value = config.get(key) or 0
        if type(value) not in (int, float) or abs(value) > 1e9 or (key == "scaling_factor" and not value > 0):
            raise BrokenWeights(
                path=folder.vae, why=Phrase("it cannot be loaded ({reason})", reason=f"{key} is {value!r}")
            )
    found, wanted = config.get("latent_channels", 4), folder.denoiser_config.get("in_channels", 4)
    if found != wanted:
        raise BrokenWeights(
            path=folder.vae,
            why=Phrase("it has {found} latent channels, the denoiser {wanted}", found=found, wanted=wanted),
        )
    return config


class OnnxBackend:
    """One exported model on one device; see ``engine.backends.base.Backend``."""

    name = "onnx"
    supports = frozenset({"timesteps"})  # a graph always runs completely, with the weights it was exported with

    def __init__(
        self, folder: ModelFolder, *, device: str = "auto", dtype: str = "auto", loras: Sequence[LoraFile] = ()
    ) -> None:
        if loras:
            raise FeatureMissing(
                what=Phrase("A LoRA on an exported model"),
                why=Phrase(
                    "its graph is fixed; export the model again with the LoRA: commonart export MODEL OUT --lora FILE"
                ),
            )
        self.folder = folder
        self.notes: list[Phrase] = []
        self.tight = False
        self._device = sessions.choose_device(device)
        self.notes += self._device.notes
        self.device = self._device.label
        check_promised(folder.root)
        self.hashes = folder.hashes()  # also reads every value once, the first time
        manifest = read_config(folder.root / MANIFEST) if (folder.root / MANIFEST).is_file() else {}
        if not manifest:
            self.notes.append(
                Phrase(
                    "{path} has no {file}: whether its graphs are as they were exported cannot be told",
                    path=folder.root,
                    file=MANIFEST,
                )
            )
        self.loras = [
            dict(row)
            for row in manifest.get("loras") or []
            if isinstance(row, dict) and {"name", "sha256", "scale"} <= row.keys()
        ]
        self._precision = str(manifest.get("quantize", "none"))
        self._config = check_config(folder)
        self._lanes: dict[int, RowThreads] = {}
        self._local, self._lock = threading.local(), threading.Lock()
        self._sessions: dict[tuple[str, int], Any] = {}
        self._denoiser = self._session("transformer", sessions.cores())
        half = self._denoiser.get_inputs()[0].type == "tensor(float16)"
        self.dtype = "fp16" if half else "fp32"
        if dtype not in ("auto", self.dtype):
            raise BadValue(
                name="dtype",
                value=dtype,
                why=Phrase("this model was exported in {dtype}; leave it out, or export again", dtype=self.dtype),
            )
        self._session("vae_decoder", sessions.cores())
        sizes = {
            part: sum(f.stat().st_size for f in graph_files(folder.root / part))
            for part in ("text_encoder", "transformer", "vae_decoder")
        }
        self._small = sizes["transformer"] + sizes["vae_decoder"] < SMALL
        self._encoder = Encoder(
            folder, self.hashes["text_encoder"], self._device, self.dtype, sizes["text_encoder"], self.notes.append
        )
        config = folder.denoiser_config
        self._channels, self._out = int(config.get("in_channels") or 4), int(config.get("out_channels") or 8)
        self._math = (
            self._array_math(half)
            if self._device.memory != "cpu" and self._device.provider in self._denoiser.get_providers()
            else None
        )
        try:
            self._schedule = Schedule.from_dict(folder.scheduler_config)
            build_sampler("dpm++2m", 2, self._schedule, [0], folder.scheduler_config)
        except (ValueError, TypeError, ArithmeticError, LookupError) as e:
            raise BrokenWeights(
                path=folder.root, why=Phrase("its scheduler cannot be used ({reason})", reason=e)
            ) from e

    def _session(self, part: str, threads: int) -> Any:
        """A part's session whose operations use ``threads`` cores; each is opened only once."""
        with self._lock:
            if (part, threads) in self._sessions:
                return self._sessions[part, threads]
            file = self.folder.root / part / GRAPH
            session, note = sessions.open_session(file, self._device, threads)
            if note:
                self.notes.append(note)
            missing = set(_INPUTS[part]) - {i.name for i in session.get_inputs()}
            if missing:
                raise BrokenWeights(path=file, why=Phrase("its graph has no input {name}", name=min(missing)))
            self._sessions[part, threads] = session
            return session

    def _session_of_thread(self, part: str) -> Any:
        """The session for the calling thread."""
        return self._session(part, getattr(self._local, "threads", sessions.cores()))

    def _array_math(self, half: bool) -> ArrayMath:
        return ArrayMath(
            lambda model: sessions.open_bytes(model, self._device),
            channels=self._channels,
            half=half,
            memory=self._device.memory,
            index=self._device.index,
        )

    def encode(self, texts: Sequence[str], upcoming: Callable[[int], Iterable[str]] | None = None) -> dict[str, Any]:
        return self._encoder.encode(texts, upcoming)

    def lanes(self, rows: int) -> RowThreads:
        cores = sessions.cores()
        count = max(1, min(cores, rows)) if self._device.name == "cpu" and self._small else 1
        if count not in self._lanes:
            self._lanes[count] = RowThreads(count, lambda: setattr(self._local, "threads", max(1, cores // count)))
        return self._lanes[count]

    def join(self, parts: Sequence[Any]) -> Any:
        return parts[0] if len(parts) == 1 else np.concatenate([np.asarray(p) for p in parts])

    def fits(self, width: int, height: int) -> int:
        return 1 << 20  # ONNX Runtime raises when memory runs out, and the batch is halved then

    def noise(self, seeds: Sequence[int], width: int, height: int) -> Any:
        scale = self.folder.vae_scale
        values = noise(seeds, self._channels, height // scale, width // scale)
        return values if self._math is None else self._math.array(values)

    def small_weights(self, wanted: str) -> tuple[str, Phrase | None]:
        return "exact", None

    def sampler(self, name: str, steps: int, seeds: Sequence[int], timesteps: Sequence[int] = ()) -> Sampler:
        return build_sampler(
            name, steps, replace(self._schedule, given=tuple(timesteps)), seeds, self.folder.scheduler_config
        )

    def predictor(
        self, requests: Sequence[ImageRequest], features: dict[str, Any], plan: SamplingPlan | None = None
    ) -> Predictor:
        return Predictor(
            self._session_of_thread("transformer"),
            requests,
            features,
            channels=self._channels,
            out_channels=self._out,
            scale=self.folder.vae_scale,
            memory="cpu" if self._math is None else self._device.memory,
            index=self._device.index,
            math=self._math,
        )

    def decode(self, latents: Any, tiled: bool = False) -> np.ndarray[Any, Any]:
        def share(_: int, rows: Sequence[Any]) -> np.ndarray[Any, Any]:
            session = self._session_of_thread("vae_decoder")
            arena = (
                f"gpu:{self._device.index}"
                if self._device.memory == "cuda" and session.get_providers()[0] == self._device.provider
                else "cpu:0"
            )
            return decode(
                session,
                np.stack(rows),
                config=self._config,
                scale=self.folder.vae_scale,
                dtype=self.dtype,
                tiled=tiled,
                arena=arena,
            )

        parts = self.lanes(len(latents)).map(share, list(np.asarray(latents, np.float32)))
        return np.concatenate(parts)

    def is_out_of_memory(self, error: BaseException) -> bool:
        return sessions.is_out_of_memory(error)

    def trim(self) -> None:
        """Graphs cannot be moved off their device: only the text encoder is freed."""
        self._encoder.drop()

    def libraries(self) -> dict[str, str]:
        return {
            "onnxruntime": ort.__version__,
            "numpy": np.__version__,
            "tokenizers": importlib.metadata.version("tokenizers"),
            "provider": self._denoiser.get_providers()[0],
            "quantize": self._precision,
            "threads": str(sessions.cores()),
        }
