"""Opens all ONNX Runtime sessions: providers that really run, threads, optimisation, memory, no console output.

ONNX Runtime lists every provider that its build supports, whether the machine has the device or not. A provider counts
as available here if a session on it opened, reports that provider, and computed a sum.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from engine.backends.onnx.graphs import doubling
from engine.contract.errors import BrokenWeights, MissingLibrary, NoDevice, Phrase
from engine.contract.paths import home
from engine.contract.python_process import pip_install
from engine.system.ram import nvidia_gpus

ort.set_default_logger_severity(4)  # errors are reported by exceptions

#: device name -> ONNX Runtime's provider, in order of preference
PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
#: not chosen by ``auto``: TensorRT builds its engines for minutes, again for every new size, and CoreML moves open axes
#: back to the CPU
EXPLICIT_ONLY = ("tensorrt", "coreml")
#: the providers that take over what a provider does not support; the CPU is last everywhere
FALLBACKS = {"tensorrt": ("cuda",)}
#: providers whose memory values can be bound: ONNX Runtime's device name
MEMORY = {"tensorrt": "cuda", "cuda": "cuda"}


@dataclass(frozen=True)
class Device:
    """Where sessions are opened: its name, a card's index, and notes on the choice."""

    name: str
    index: int = 0
    notes: tuple[Phrase, ...] = field(default=(), compare=False)

    @property
    def label(self) -> str:
        """As PyTorch would write it: ``cpu``, ``cuda:0``, ``directml``."""
        return f"{self.name}:{self.index}" if self.name in ("cuda", "tensorrt") else self.name

    @property
    def memory(self) -> str:
        """The memory of bound values: ``cuda`` or ``cpu``."""
        return MEMORY.get(self.name, "cpu")

    @property
    def provider(self) -> str:
        return PROVIDERS[self.name]


CPU = Device("cpu")


def devices_of_build() -> list[str]:
    """Devices that this build of ONNX Runtime supports; they may not work on this machine."""
    available = set(ort.get_available_providers())
    return [name for name, provider in PROVIDERS.items() if provider in available]


def _provider(name: str, index: int) -> tuple[str, dict[str, Any]]:
    options: dict[str, Any] = {}
    if name in ("cuda", "tensorrt", "migraphx", "directml"):
        options["device_id"] = index
    if name == "cuda":
        # exact float32; no long search for the best convolution at every new size; memory blocks are not doubled
        options |= {"use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
    if name == "tensorrt":
        cache = home() / "cache" / "tensorrt"
        cache.mkdir(parents=True, exist_ok=True)
        options |= {
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(cache),
        }
    return PROVIDERS[name], options


def cores() -> int:
    """The total number of threads: ``OMP_NUM_THREADS`` as for PyTorch, else the processors this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, 64))


def _options(device: Device, threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # three sessions have three pools: threads that spin after their work take the cores from the next session
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "0")
    if device.name == "directml":
        options.enable_mem_pattern = False  # required by DirectML
    return options


@contextlib.contextmanager
def _without_output() -> Iterator[None]:
    """Providers print on standard output when they fail."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _open(model: str | bytes, device: Device, threads: int = 1) -> ort.InferenceSession:
    """A session with ``device`` first. Raises whatever ONNX Runtime raises."""
    available = set(devices_of_build())
    names = [n for n in (device.name, *FALLBACKS.get(device.name, ()), "cpu") if n in available or n == device.name]
    with _without_output():
        session = ort.InferenceSession(
            model,
            sess_options=_options(device, threads),
            enable_fallback=0,
            providers=[_provider(n, device.index) for n in dict.fromkeys(names)],
        )
    session.disable_fallback()  # a run that fails must raise, not continue on another device and print a warning
    return session


@lru_cache(maxsize=32)
def failure_reason(device: Device) -> str | None:
    """None if ``device`` computes a sum correctly, else why not, in one line."""
    if device.name not in devices_of_build():
        return "not in this build of ONNX Runtime"
    if device.memory == "cuda":
        if nvidia_gpus() is None:
            return "no NVIDIA driver"
        with _without_output():
            _load_cuda()
    try:
        session = _open(doubling(), device)
        got = session.get_providers()
        if device.provider not in got:
            return f"it got {got[0]} instead"
        sums = session.run(None, {"x": np.array([1.0, 2.5], np.float32)})[0]
        return None if np.array_equal(sums, [2.0, 5.0]) else "wrong sums"
    except Exception as e:  # each provider raises types of its own
        return (str(e).strip().splitlines() or [type(e).__name__])[0][:200]


@lru_cache(maxsize=1)
def _load_cuda() -> None:
    """Load CUDA and cuDNN from Python packages, so that the provider finds them."""
    try:
        ort.preload_dlls()
    except Exception:  # then the provider itself reports what is missing
        pass


def working_devices() -> list[str]:
    """Devices on which sessions really run, best first."""
    return [name for name in devices_of_build() if failure_reason(Device(name)) is None]


def choose_device(wanted: str) -> Device:
    """The requested device, or the best that works; ``auto:n`` is the n-th worker's share of the cards.

    A device that the build supports but that does not work is replaced by the next, with a note. ``auto`` gives no note
    about devices that the machine does not have.

    Raises:
        NoDevice: no such name, or not in this build.
    """
    name, _, tail = wanted.partition(":")
    index = int(tail) if tail.isdigit() else 0
    if name == "auto" and (not tail or tail.isdigit()):
        cards = nvidia_gpus() or []
        notes: list[Phrase] = []
        for candidate in devices_of_build():
            if candidate in EXPLICIT_ONLY:
                continue
            device = Device(candidate, index % len(cards) if cards and candidate == "cuda" else 0)
            why = failure_reason(device)
            if why is None:
                return Device(device.name, device.index, tuple(notes))
            if candidate == "cuda" and cards:
                notes.append(_fallback_note(candidate, why))
        raise MissingLibrary(name="onnxruntime", command=pip_install("onnxruntime"))
    if name not in PROVIDERS or (tail and not tail.isdigit()) or (tail and name == "cpu"):
        raise NoDevice(device=wanted, why=Phrase("with ONNX the names are auto, {names}", names=", ".join(PROVIDERS)))
    if name not in devices_of_build():
        raise NoDevice(
            device=wanted,
            why=Phrase(
                "this build of ONNX Runtime does not know it; it knows {names}", names=", ".join(devices_of_build())
            ),
        )
    device = Device(name, index)
    why = failure_reason(device)
    if why is None:
        return device
    for candidate in (*FALLBACKS.get(name, ()), *(n for n in devices_of_build() if n not in EXPLICIT_ONLY)):
        if failure_reason(Device(candidate, index if candidate == "cuda" else 0)) is None:
            return Device(candidate, index if candidate == "cuda" else 0, (_fallback_note(name, why, candidate),))
    return Device("cpu", 0, (_fallback_note(name, why),))


def _fallback_note(name: str, why: str, instead: str = "cpu") -> Phrase:
    return Phrase(
        "ONNX Runtime cannot use {name} here ({why}); going on with {instead}", name=name, why=why, instead=instead
    )


def open_session(file: Path, device: Device, threads: int | None = None) -> tuple[ort.InferenceSession, Phrase | None]:
    """A graph on ``device``, or on the CPU with a note if the device refuses this graph.

    ``threads`` share one operation (default: all cores).

    Raises:
        BrokenWeights: the CPU refuses it too. MemoryError: there is not enough for its weights.
    """
    threads = threads or cores()
    try:
        session = _open(str(file), device, threads)
        if device.provider in session.get_providers():
            return session, None
        why = "its session did not open"
    except Exception as e:
        if is_out_of_memory(e):
            raise MemoryError(str(e)[:200]) from e
        why = (str(e).strip().splitlines() or [type(e).__name__])[0][:200]
        if device.name == "cpu":
            raise BrokenWeights(path=file, why=Phrase("it cannot be loaded ({reason})", reason=why)) from e
    try:
        return _open(str(file), CPU, threads), _fallback_note(device.name, why)
    except Exception as e:
        raise BrokenWeights(path=file, why=Phrase("it cannot be loaded ({reason})", reason=why)) from e


def open_bytes(model: bytes, device: Device) -> Any:
    """A session of a graph from ``graphs`` on a device that works."""
    return _open(model, device)


_MEMORY_MESSAGES = (
    "Failed to allocate memory",
    "bad_alloc",
    "out of memory",
    "OUT_OF_MEMORY",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "8007000E",
    "BFCArena",
    "bad allocation",
    "Available memory of",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ONNX Runtime or numpy ran out of memory, by type or, as ONNX Runtime has none for it, by the message."""
    if isinstance(error, MemoryError):
        return True
    # a bound run raises a plain RuntimeError
    from_runtime = type(error) is RuntimeError or type(error).__module__.startswith("onnxruntime")
    return from_runtime and any(text in str(error) for text in _MEMORY_MESSAGES)
