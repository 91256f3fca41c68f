"""How a model would be run within the memory of common graphics cards and of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.memory_plan import SIZES, on_cpu, plan_memory
from engine.contract.errors import Phrase
from engine.doctor.checks import Check, format_bytes, make_check
from engine.doctor.models import largest_model
from engine.system.ram import ram_bytes
from engine.worker.batching import batch_size


def _planned(title: Phrase, name: str, model: ModelFolder, limit: int) -> Check:
    """How ``model`` would be run in bf16 on a graphics card with ``limit`` bytes."""
    plan = plan_memory(model, "bf16", limit, model.own_side, model.own_side, main=ram_bytes())
    encoders = {
        "cpu": Phrase("The text encoder works in main memory"),
        "int8": Phrase("The text encoder works in 8 bits"),
    }
    advice = (
        Phrase("Not even one image fits")
        if not plan.batch
        else encoders.get(plan.encoder) or (Phrase("Denoiser and decoder take turns") if plan.in_turn else None)
    )
    value = f"bf16, {model.own_side} px, × {plan.batch}, {format_bytes(plan.peak)}"
    return make_check(name, title, "ok" if plan.batch else "warning", value, advice)


def memory_plans(torch: Any = None, wanted: ModelFolder | None = None) -> Iterator[Check]:
    """How ``wanted``, else the largest model here, would be run on common cards and on this machine.

    The plan is that of ``engine.checkpoint.memory_plan``.
    """
    model = wanted or largest_model()
    if model is None or model.layout == "onnx":
        return
    for gigabytes in SIZES:
        title = Phrase("{model} in {size} GB", model=model.name, size=gigabytes)
        yield _planned(title, f"memory-{gigabytes}", model, gigabytes * 10**9)
    label = Phrase("{model} on this machine", model=model.name)
    if torch is not None and torch.cuda.is_available():
        yield _planned(label, "memory-here", model, int(torch.cuda.get_device_properties(0).total_memory))
        return
    lanes = torch.get_num_threads() if torch is not None else os.cpu_count() or 1
    batch = batch_size((model.own_side // model.multiple) ** 2, "cpu")
    need, ram = on_cpu(model, "fp32", model.own_side, model.own_side, batch, lanes=lanes)["peak"], ram_bytes()
    little = ram is not None and need > ram
    advice = Phrase(
        "There is only {size} of memory: it would be slow or be stopped by the system", size=format_bytes(ram or 0)
    )
    yield make_check(
        "memory-here",
        label,
        "warning" if little else "ok",
        f"CPU, fp32, {model.own_side} px, × {batch}, {format_bytes(need)}",
        advice if little else None,
    )
