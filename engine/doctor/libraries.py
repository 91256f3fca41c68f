"""Whether the libraries are installed, load, and are the versions that were tested."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from engine.contract.errors import Phrase
from engine.contract.python_process import pip_command, pip_install, python_command
from engine.doctor.checks import Check, first_line, make_check

DISTRIBUTION = "commonart-desktop"
#: The distributions of ONNX Runtime, the preferred one first. All of them write the same files into the same folder.
ONNX_RUNTIMES = (
    ("onnxruntime",) if sys.platform == "darwin" else ("onnxruntime-gpu", "onnxruntime", "onnxruntime-directml")
)


def requirement(distributions: tuple[str, ...]) -> str:
    """What to give to pip for the first of these: the requirement in this program's metadata, else the bare name."""
    try:
        for line in importlib.metadata.requires(DISTRIBUTION) or []:
            wanted = line.partition(";")[0].strip()
            if re.split(r"[^A-Za-z0-9._-]", wanted)[0].lower() == distributions[0].lower():
                return wanted
    except importlib.metadata.PackageNotFoundError:
        pass  # run from a checkout
    return distributions[0]


def installed_versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """The versions of those distributions that are installed, in the given order."""
    installed = {}
    for name in distributions:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _satisfies(version: str, wanted: str) -> bool:
    try:
        from packaging.requirements import Requirement

        return Requirement(wanted).specifier.contains(version, prereleases=True)
    except Exception:  # no packaging, or the version of a private build: nothing can be said against it
        return True


def _same_release(one: str, other: str) -> bool:
    """Whether two versions are equal but for their local part, such as ``+cpu``."""
    try:
        from packaging.version import Version

        return Version(one).public == Version(other).public
    except Exception:  # no packaging, or the version of a private build
        return True


def check_library(
    name: str,
    title: str,
    *distributions: str,
    extra: Callable[[Any], str] = lambda _: "",
    load: Callable[[str], Any] = importlib.import_module,
    exclusive: bool = False,
) -> tuple[Check, Any]:
    """(the check, the loaded module or None).

    ``extra`` adds to the value what only the loaded module knows. ``exclusive``: the distributions overwrite each
    other's files, so only one of them may be installed.
    """
    installed = installed_versions(distributions)
    version = next(iter(installed.values()), None)
    label = Phrase("Library {name}", name=title)
    try:
        module = load(name)
        value = ", ".join(filter(None, (version or str(getattr(module, "__version__", "?")), extra(module))))
    except ModuleNotFoundError as e:
        if version is None and (e.name or name).split(".")[0] == name.split(".")[0]:
            install = Phrase("Install it with: {command}", command=pip_install(requirement(distributions)))
            return make_check(name, label, "missing", None, install), None
        return make_check(name, label, "missing", version, _broken(e, distributions)), None
    except (Exception, SystemExit) as e:  # whatever a broken library does at import
        return make_check(name, label, "missing", version, _broken(e, distributions)), None
    advice = _conflict(module, installed, distributions, exclusive)
    return make_check(name, label, "warning" if advice else "ok", value, advice), module


def _broken(error: BaseException, distributions: tuple[str, ...]) -> Phrase:
    return Phrase(
        "It is installed but cannot be loaded ({reason}). Install it again with: {command}",
        reason=first_line(error),
        command=pip_install(requirement(distributions), "--force-reinstall"),
    )


def _conflict(module: Any, installed: dict[str, str], distributions: tuple[str, ...], exclusive: bool) -> Phrase | None:
    """What is wrong with a library that loads: overwritten by another distribution, or not the tested version."""
    wanted = requirement(distributions)
    if exclusive and len(installed) > 1:
        return Phrase(
            "{names} are installed over each other: the one installed last is used, perhaps without the graphics card. "
            "Remove them with: {remove} and install one with: {command}",
            names=", ".join(f"{name} {version}" for name, version in installed.items()),
            remove=pip_command("uninstall", "-y", *installed),
            command=pip_install(wanted),
        )
    version, loaded = next(iter(installed.values()), None), getattr(module, "__version__", None)
    if version and isinstance(loaded, str) and not _same_release(version, loaded):
        return Phrase(
            "Version {version} is installed, but the files are of version {loaded}: another package overwrote them. "
            "Install it again with: {command}",
            version=version,
            loaded=loaded,
            command=pip_install(wanted, "--force-reinstall"),
        )
    if version and not _satisfies(version, wanted):
        return Phrase(
            "This version was not tested; install the tested one with: {command}", command=pip_install(wanted)
        )
    return None


def torch_build(torch: Any) -> str:
    """What PyTorch was built for: ``CUDA 13.0``, ``ROCm 7.1``, ``Metal`` or ``CPU``."""
    for name, version in (("CUDA", torch.version.cuda), ("ROCm", getattr(torch.version, "hip", None))):
        if version:
            return f"{name} {version}"
    return "Metal" if torch.backends.mps.is_built() else "CPU"


def _providers(_: Any) -> str:
    """Devices on which a session opens and computes correctly; the library itself lists all that its build supports."""
    from engine.backends.onnx.sessions import working_devices

    return " ".join(working_devices())


def _import_qt(name: str) -> str:
    """Import Qt in a separate process: the engine uses no Qt, and a Qt without its system libraries may abort."""
    done = subprocess.run(
        python_command("-c", f"import {name}"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        timeout=60,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        if last.startswith("ModuleNotFoundError"):
            raise ModuleNotFoundError(last, name=name)
        raise ImportError(last.removeprefix("ImportError: "))
    return name


def other_libraries() -> Iterator[Check]:
    """Every library but PyTorch, which other checks need too."""
    yield check_library("diffusers", "Diffusers", "diffusers")[0]
    yield check_library("transformers", "Transformers", "transformers")[0]
    yield check_library("optimum", "Optimum", "optimum")[0]
    yield check_library("onnxruntime", "ONNX Runtime", *ONNX_RUNTIMES, extra=_providers, exclusive=True)[0]
    yield check_library("PySide6.QtWidgets", "PySide6", "PySide6-Essentials", "PySide6", load=_import_qt)[0]
