"""Every check, in the order to show them; one that breaks does not hide the others."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

from engine.checkpoint.layout import ModelFolder
from engine.contract.errors import CommonArtError, Phrase
from engine.doctor.checks import Check, first_line, make_check
from engine.doctor.devices import auto_choice, cpu_and_memory, graphics_cards, tuning_records
from engine.doctor.libraries import check_library, other_libraries, torch_build
from engine.doctor.memory import memory_plans
from engine.doctor.models import installed_models
from engine.doctor.storage import caption_cache, data_folder


def _guarded(name: str, run: Callable[[], Iterator[Check]]) -> list[Check]:
    """The checks that ``run`` yields; if it breaks, that becomes a check too."""
    checks: list[Check] = []
    try:
        for check in run():
            checks.append(check)
    except Exception as e:
        reason = first_line(e) if isinstance(e, CommonArtError) else f"{type(e).__name__}: {first_line(e)}"
        title, advice = Phrase("Check {name}", name=name), Phrase("It could not be run ({reason})", reason=reason)
        checks.append(make_check(name, title, "warning", None, advice))
    return checks


def examine(wanted: ModelFolder | None = None) -> list[Check]:
    """Every check; memory plans are for ``wanted``, or for the largest model."""
    checks = [make_check("python", Phrase("Python"), "ok", f"{platform.python_version()}, {platform.platform()}")]
    check, torch = check_library("torch", "PyTorch", "torch", extra=torch_build)
    checks.append(check)
    checks += _guarded("devices", lambda: graphics_cards(torch))
    checks.append(auto_choice())
    checks += _guarded("libraries", other_libraries)
    checks += _guarded("data-folder", data_folder)
    checks += _guarded("text-cache", caption_cache)
    checks += _guarded("models", installed_models)
    checks += _guarded("memory", lambda: memory_plans(torch, wanted))
    checks += _guarded("compiled", tuning_records)
    checks += _guarded("cpu", lambda: cpu_and_memory(torch))
    return checks
