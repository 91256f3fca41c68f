"""Devices, dtypes, and how much of a device's memory may be used."""

from __future__ import annotations

import torch

from engine.contract.errors import NoDevice, Phrase

CORES = torch.get_num_threads()  # before anything here changes it
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(wanted: str) -> torch.device:
    """The requested device, or the best available; ``auto:n`` is the n-th worker's share of the GPUs.

    Raises:
        NoDevice: this machine does not have it.
    """
    if wanted == "auto" or (wanted.startswith("auto:") and wanted[5:].isdigit()):
        if torch.cuda.is_available():
            return torch.device("cuda", int(wanted[5:] or 0) % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as e:
        raise NoDevice(device=wanted, why=Phrase("the names are auto, cpu, cuda, cuda:1 and so on, and mps")) from e
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise NoDevice(device=wanted, why=Phrase("PyTorch finds no CUDA device here"))
        if (device.index or 0) >= torch.cuda.device_count():
            raise NoDevice(device=wanted, why=Phrase("there are only {n}", n=torch.cuda.device_count()))
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise NoDevice(device=wanted, why=Phrase("this is not an Apple machine with Metal"))
    elif device.type not in ("cpu", "cuda", "mps"):
        raise NoDevice(device=wanted, why=Phrase("the names are auto, cpu, cuda, cuda:1 and so on, and mps"))
    return device


def choose_dtype(wanted: str, device: torch.device) -> str:
    """The requested dtype; with ``auto`` bf16 on GPUs that compute in it, fp16 on older ones, fp32 on the CPU."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    return "fp16" if device.type == "mps" else "fp32"


def memory_limit(device: torch.device, memory: int | None) -> int | None:
    """Bytes the model may use: the requested limit, else a graphics card's own memory.

    None on a CPU without a limit, where the system pages.
    """
    if device.type != "cuda":
        return memory
    total = int(torch.cuda.get_device_properties(device).total_memory)
    if memory:
        torch.cuda.set_per_process_memory_fraction(min(1.0, memory / total), device)
    return min(memory or total, total)
