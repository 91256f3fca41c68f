"""The devices that PyTorch can use, what ``auto`` chooses among them, and what was measured on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from engine.contract.errors import Phrase
from engine.doctor.checks import Check, first_line, format_bytes, make_check
from engine.system.ram import nvidia_gpus, ram_bytes
from engine.system.tuning import read_records, this_machine

LITTLE_RAM = 4 << 30  # bytes


def graphics_cards(torch: Any) -> Iterator[Check]:
    """One check for each GPU, or one that there is none."""
    label = Phrase("Graphics card")
    count = 0
    if torch is not None and torch.cuda.is_available():
        count = torch.cuda.device_count()
        yield from (_cuda(torch, n) for n in range(count))
    if torch is not None and torch.backends.mps.is_available():
        count += 1
        yield make_check("mps", label, "ok", "Metal, fp16")
    if count:
        return
    cards = nvidia_gpus() or []
    value = ", ".join(f"{c['name']}, {format_bytes(c['bytes'])}" for c in cards) or None
    advice = (
        Phrase(
            "PyTorch cannot use it: install a CUDA build of PyTorch ({page}) and a recent driver",
            page="https://pytorch.org/get-started/locally/",
        )
        if cards
        else Phrase("There is none that PyTorch can use; images are generated on the CPU, which is slower")
    )
    yield make_check("gpu", label, "warning", value, advice)


def _cuda(torch: Any, n: int) -> Check:
    name, title = f"cuda:{n}", Phrase("Graphics card {n}", n=n)
    try:
        card = torch.cuda.get_device_properties(n)
        value = f"{card.name}, {format_bytes(card.total_memory)}, {'bf16' if card.major >= 8 else 'fp16'}"
        float(torch.ones(1, device=name).sum())  # a build may support the driver but not the card
        return make_check(name, title, "ok", value)
    except Exception as e:
        advice = Phrase("PyTorch cannot use it ({reason}). Update its driver and PyTorch.", reason=first_line(e))
        return make_check(name, title, "warning", None, advice)


def auto_choice() -> Check:
    """What ``--device auto --dtype auto`` chooses."""
    label = Phrase("Chosen by auto")
    try:
        from engine.backends.pytorch.devices import choose_device, choose_dtype

        device = choose_device("auto")
        return make_check("auto", label, "ok", f"{device}, {choose_dtype('auto', device)}")
    except Exception as e:
        advice = Phrase("The PyTorch backend cannot be loaded ({reason})", reason=first_line(e))
        return make_check("auto", label, "missing", None, advice)


def tuning_records() -> Iterator[Check]:
    """What `commonart bench --probe`, or a failed compilation, recorded about running the denoiser."""
    for key, record in read_records().items():
        if not key.startswith(this_machine()):
            continue  # a data folder may be shared by machines
        failed = str(record.get("failed") or "")
        ratio = record.get("ratio")
        speed = f"× {ratio:.2f}, " if isinstance(ratio, float) else ""
        yield make_check(
            "compiled",
            Phrase("Denoiser compiled: {what}", what=key.partition(" | ")[2]),
            "warning" if failed else "ok",
            f"{record.get('choice')}, {speed}{record.get('when')}",
            Phrase(
                "It failed ({reason}). To try again: {command}", reason=failed[:200], command="commonart bench --probe"
            )
            if failed
            else None,
        )


def cpu_and_memory(torch: Any) -> Iterator[Check]:
    """Threads that PyTorch uses, and main memory."""
    threads = torch.get_num_threads() if torch is not None else os.cpu_count() or 1
    yield make_check("threads", Phrase("Threads"), "ok", f"{threads} / {os.cpu_count() or 1}")
    ram = ram_bytes()
    little = ram is not None and ram < LITTLE_RAM
    advice = Phrase("Less than {size}: only small models fit", size=format_bytes(LITTLE_RAM)) if little else None
    yield make_check(
        "ram", Phrase("Memory"), "warning" if little else "ok", None if ram is None else format_bytes(ram), advice
    )
