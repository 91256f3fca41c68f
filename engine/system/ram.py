"""The machine's memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def ram_bytes() -> int | None:
    """The memory that this process may use: the machine's, or its container's limit; None if unknown."""
    if os.name == "nt":
        import ctypes

        class Status(ctypes.Structure):
            _fields_ = [
                ("length", ctypes.c_ulong),
                ("load", ctypes.c_ulong),
                *((f"n{i}", ctypes.c_ulonglong) for i in range(7)),
            ]  # the first is the total

        status = Status()
        status.length = ctypes.sizeof(Status)
        done = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
        return int(status.n0) if done else None
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):
            pass  # not on Linux, or no limit ("max")
    return total if total > 0 else None


def nvidia_gpus() -> list[dict[str, Any]] | None:
    """``{"name", "bytes"}`` of each NVIDIA GPU as its driver reports, without PyTorch; None without a driver."""
    if os.name == "nt":  # there ``which`` looks into the start folder first
        program: str | None = str(Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvidia-smi.exe"))
    else:
        program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        told = subprocess.run(
            [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=20,
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    rows = (line.rpartition(",") for line in told.splitlines())
    return [
        {"name": name.strip(), "bytes": int(size) << 20} for name, _, size in rows if size.strip().isdecimal()
    ] or None


def peak_bytes() -> int:
    """The peak resident size of this process; 0 if unknown."""
    if sys.platform == "win32":
        import ctypes
        from ctypes import wintypes

        class Counters(ctypes.Structure):
            _fields_ = [
                ("cb", wintypes.DWORD),
                ("faults", wintypes.DWORD),
                *((f"n{i}", ctypes.c_size_t) for i in range(8)),
            ]

        counters = Counters()
        counters.cb = ctypes.sizeof(Counters)
        process = ctypes.windll.kernel32.GetCurrentProcess()
        done = ctypes.windll.psapi.GetProcessMemoryInfo(wintypes.HANDLE(process), ctypes.byref(counters), counters.cb)
        return int(counters.n0) if done else 0  # PeakWorkingSetSize
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
