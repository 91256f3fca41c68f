"""``python -m engine.doctor``: what this machine has, what is missing, and how to get it. One JSON document on standard output.

States: ``ok``; ``warning``, pictures can be made but something is worth knowing; ``missing``, something needed is not there
or broken. ``name`` and ``advice`` are Phrases as data; ``value`` is the same in every language, and null if there is none.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.library import find_all, open_model, remembered_parts
from engine.checkpoint.memory_plan import SIZES, memory_needs, on_cpu, plan_memory
from engine.contract.disk import bytes_in
from engine.contract.errors import CommonArtError, Phrase
from engine.contract.paths import home
from engine.contract.python_process import python_command
from engine.contract.request import ImageRequest
from engine.system.json_program import JsonArgumentParser, phrase, run_json_program
from engine.system.ram import nvidia_gpus, ram_bytes
from engine.system.tuning import read_records as read_probes
from engine.system.tuning import this_machine
from engine.worker.batching import batch_size

Check = dict[str, Any]
DISTRIBUTION = "commonart-desktop"
LITTLE_DISK, LITTLE_RAM, LARGE_CACHE = 2 << 30, 4 << 30, 20 << 30  # bytes


def _check(name: str, title: Phrase, state: str, value: str | None, advice: Phrase | None = None) -> Check:
    return {
        "id": name,
        "name": phrase(title),
        "state": state,
        "value": value,
        "advice": None if advice is None else phrase(advice),
    }


def size(n: int) -> str:
    """Bytes for a person: 1.5 GiB."""
    power = min(max(n.bit_length() - 1, 0) // 10, 4)
    return f"{n} B" if power == 0 else f"{n / 1024**power:.1f} {' KMGT'[power]}iB"


def _short(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__


# libraries --------------------------------------------------------------------------------------------------------


def requirement(distributions: tuple[str, ...]) -> str:
    """What to give to pip for the first of these: as this program's own metadata says it, else the bare name."""
    try:
        for line in importlib.metadata.requires(DISTRIBUTION) or []:
            wanted = line.partition(";")[0].strip()
            if re.split(r"[^A-Za-z0-9._-]", wanted)[0].lower() == distributions[0].lower():
                return wanted
    except importlib.metadata.PackageNotFoundError:
        pass  # run from a checkout
    return distributions[0]


def _version(distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _fits(version: str, wanted: str) -> bool:
    try:
        from packaging.requirements import Requirement

        return Requirement(wanted).specifier.contains(version, prereleases=True)
    except Exception:  # no packaging, or a version of a home-made build: nothing can be said against it
        return True


def _install(distributions: tuple[str, ...]) -> Phrase:
    return Phrase(
        "Install it with: {command}",
        command=f'{Path(sys.executable).name} -m pip install "{requirement(distributions)}"',
    )


def library(
    name: str,
    title: str,
    *distributions: str,
    extra: Callable[[Any], str] = lambda _: "",
    load: Callable[[str], Any] = importlib.import_module,
) -> tuple[Check, Any]:
    """(the check, the loaded module or None). ``extra`` adds to the value what only the loaded module knows."""
    version = _version(distributions)
    label = Phrase("Library {name}", name=title)
    try:
        module = load(name)
        value = ", ".join(filter(None, (version or str(getattr(module, "__version__", "?")), extra(module))))
    except ModuleNotFoundError as e:
        if version is None and (e.name or name).split(".")[0] == name.split(".")[0]:
            return _check(name, label, "missing", None, _install(distributions)), None
        return _broken(name, label, version, e, distributions), None
    except (Exception, SystemExit) as e:  # whatever a broken library does at import
        return _broken(name, label, version, e, distributions), None
    wanted = requirement(distributions)
    if version and not _fits(version, wanted):
        return _check(
            name,
            label,
            "warning",
            value,
            Phrase(
                "This version was not tested; install the tested one with: {command}",
                command=f'{Path(sys.executable).name} -m pip install "{wanted}"',
            ),
        ), module
    return _check(name, label, "ok", value), module


def _broken(
    name: str, label: Phrase, version: str | None, error: BaseException, distributions: tuple[str, ...]
) -> Check:
    return _check(
        name,
        label,
        "missing",
        version,
        Phrase(
            "It is installed but cannot be loaded ({reason}). Install it again with: {command}",
            reason=_short(error),
            command=f'{Path(sys.executable).name} -m pip install --force-reinstall "{requirement(distributions)}"',
        ),
    )


def _torch_build(torch: Any) -> str:
    for name, version in (("CUDA", torch.version.cuda), ("ROCm", getattr(torch.version, "hip", None))):
        if version:
            return f"{name} {version}"
    return "Metal" if torch.backends.mps.is_built() else "CPU"


def _providers(onnxruntime: Any) -> str:
    """Devices on which a session opens and reckons right; the library itself lists all that its build knows."""
    from engine.backends.onnx.sessions import opening

    return " ".join(opening())


def _qt(name: str) -> str:
    """Load Qt in a process of its own: the engine knows no Qt, and a Qt without its system libraries may abort."""
    told = subprocess.run(
        python_command("-c", f"import {name}"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        timeout=60,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    if told.returncode:
        last = (told.stderr.strip().splitlines() or [f"status {told.returncode}"])[-1]
        if last.startswith("ModuleNotFoundError"):
            raise ModuleNotFoundError(last, name=name)
        raise ImportError(last.removeprefix("ImportError: "))
    return name


# devices ----------------------------------------------------------------------------------------------------------


def devices(torch: Any) -> Iterator[Check]:
    """A line for each GPU, or one that there is none."""
    label = Phrase("Graphics card")
    found = 0
    if torch is not None and torch.cuda.is_available():
        for n in range(torch.cuda.device_count()):
            found += 1
            title = Phrase("Graphics card {n}", n=n)
            try:
                card = torch.cuda.get_device_properties(n)
                value = f"{card.name}, {size(card.total_memory)}, {'bf16' if card.major >= 8 else 'fp16'}"
                float(torch.ones(1, device=f"cuda:{n}").sum())  # a build may know the driver but not the card
                yield _check(f"cuda:{n}", title, "ok", value)
            except Exception as e:
                yield _check(
                    f"cuda:{n}",
                    title,
                    "warning",
                    None,
                    Phrase("PyTorch cannot use it ({reason}). Update its driver and PyTorch.", reason=_short(e)),
                )
    if torch is not None and torch.backends.mps.is_available():
        found += 1
        yield _check("mps", label, "ok", "Metal, fp16")
    if found:
        return
    cards = nvidia_gpus()
    if cards:
        yield _check(
            "gpu",
            label,
            "warning",
            ", ".join(f"{c['name']}, {size(c['bytes'])}" for c in cards),
            Phrase(
                "PyTorch cannot use it: install a CUDA build of PyTorch ({page}) and a recent driver",
                page="https://pytorch.org/get-started/locally/",
            ),
        )
    else:
        yield _check(
            "gpu",
            label,
            "warning",
            None,
            Phrase("There is none that PyTorch can use; pictures are made on the CPU, which is slower"),
        )


def auto() -> Check:
    """What ``--device auto --dtype auto`` chooses."""
    label = Phrase("Chosen by auto")
    try:
        from engine.backends.pytorch.devices import choose_device, choose_dtype

        device = choose_device("auto")
        return _check("auto", label, "ok", f"{device}, {choose_dtype('auto', device)}")
    except Exception as e:
        return _check(
            "auto", label, "missing", None, Phrase("The PyTorch backend cannot be loaded ({reason})", reason=_short(e))
        )


# files ------------------------------------------------------------------------------------------------------------


def data_folder() -> Iterator[Check]:
    """The data folder can be written, and its disk has room. It is not created here."""
    folder = place = home().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    label = Phrase("Data folder")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        yield _check("data-folder", label, "ok", str(folder))
    except OSError as e:
        yield _check(
            "data-folder",
            label,
            "missing",
            str(folder),
            Phrase(
                "It cannot be written ({reason}). Make it writable, or set {variable} to another folder",
                reason=e.strerror or e,
                variable="COMMONART_HOME",
            ),
        )
    try:
        free = shutil.disk_usage(place).free
        yield _check(
            "disk",
            Phrase("Free disk space"),
            "warning" if free < LITTLE_DISK else "ok",
            size(free),
            Phrase("Free some space: less than {size} is left", size=size(LITTLE_DISK)) if free < LITTLE_DISK else None,
        )
    except OSError:
        pass  # the line above has said it


def text_cache() -> Check:
    """How much the features of known prompts take."""
    folder = home() / "cache" / "text"
    total = bytes_in(folder)
    large = total > LARGE_CACHE
    return _check(
        "text-cache",
        Phrase("Stored text features"),
        "warning" if large else "ok",
        size(total),
        Phrase("They may be deleted at any time and are made again when needed: {path}", path=folder)
        if large
        else None,
    )


def models() -> Iterator[Check]:
    """How many there are, and whether the bundled one is whole (its files, not every number in them)."""
    found = list(find_all())
    yield _check(
        "models",
        Phrase("Models"),
        "ok" if found else "warning",
        str(len(found)),
        None
        if found
        else Phrase(
            "Put a model folder into {path}, or give its folder with {option}", path=home() / "models", option="--model"
        ),
    )
    name = ImageRequest(prompt="", seed=0).model
    label = Phrase("Bundled model")
    mine = next((f for f in found if f.source == "bundled" and f.name == name), None)
    if mine is None:
        yield _check(
            "bundled-model",
            label,
            "missing",
            None,
            Phrase("{name} is not there: install CommonArt Desktop again", name=name),
        )
        return
    try:
        parts = {
            k: Path(v)
            for k, v in remembered_parts(mine.path).items()
            if k in ("text_encoder", "vae") and Path(v).is_dir()
        }
        model = identify(mine.path, **parts)
        yield _check("bundled-model", label, "ok", f"{name}, {model.own_side} px")
    except Exception as e:
        yield _check(
            "bundled-model",
            label,
            "missing",
            name,
            Phrase("It is damaged ({reason}): install CommonArt Desktop again", reason=_short(e)),
        )


def _largest() -> ModelFolder | None:
    """The largest model here that PyTorch runs."""
    found: tuple[int, ModelFolder] | None = None
    for one in find_all():
        try:
            parts = {
                k: Path(v)
                for k, v in remembered_parts(one.path).items()
                if k in ("text_encoder", "vae") and Path(v).is_dir()
            }
            model = identify(one.path, **parts, name=one.name)
            need = memory_needs(model, "bf16") if model.layout != "onnx" else None
        except CommonArtError:
            continue
        if need and (found is None or need.denoiser + need.encoder > found[0]):
            found = need.denoiser + need.encoder, model
    return found[1] if found else None


def _planned(title: Phrase, name: str, model: ModelFolder, limit: int) -> Check:
    """How ``model`` would be run in bf16 on a graphics card with ``limit`` bytes."""
    found = plan_memory(model, "bf16", limit, model.own_side, model.own_side, main=ram_bytes())
    places = {
        "cpu": Phrase("The text encoder works in main memory"),
        "int8": Phrase("The text encoder works in 8 bits"),
    }
    advice = (
        Phrase("Not even one picture fits")
        if not found.batch
        else places.get(found.encoder) or (Phrase("Denoiser and decoder take turns") if found.in_turn else None)
    )
    return _check(
        name,
        title,
        "ok" if found.batch else "warning",
        f"bf16, {model.own_side} px, × {found.batch}, {size(found.peak)}",
        advice,
    )


def memory_plans(torch: Any = None, wanted: ModelFolder | None = None) -> Iterator[Check]:
    """How ``wanted``, else the largest model here, would be run on the cards that people have, and on this machine, by ``engine.checkpoint.memory_plan``."""
    model = wanted or _largest()
    if model is None or model.layout == "onnx":
        return
    for gigabytes in SIZES:
        yield _planned(
            Phrase("{model} in {size} GB", model=model.name, size=gigabytes),
            f"memory-{gigabytes}",
            model,
            gigabytes * 10**9,
        )
    label = Phrase("{model} on this machine", model=model.name)
    if torch is not None and torch.cuda.is_available():
        yield _planned(label, "memory-here", model, int(torch.cuda.get_device_properties(0).total_memory))
        return
    lanes = torch.get_num_threads() if torch is not None else os.cpu_count() or 1
    pictures = batch_size((model.own_side // model.multiple) ** 2, "cpu")
    need, ram = on_cpu(model, "fp32", model.own_side, model.own_side, pictures, lanes=lanes)["peak"], ram_bytes()
    little = ram is not None and need > ram
    yield _check(
        "memory-here",
        label,
        "warning" if little else "ok",
        f"CPU, fp32, {model.own_side} px, × {pictures}, {size(need)}",
        Phrase("There are only {size} of memory: it would be slow or be stopped by the system", size=size(ram or 0))
        if little
        else None,
    )


def compiled() -> Iterator[Check]:
    """What `commonart bench --probe`, or a failed compilation, found out about running the denoiser."""
    for key, found in read_probes().items():
        if not key.startswith(this_machine()):
            continue  # a data folder may be shared by machines
        failed = str(found.get("failed") or "")
        ratio = found.get("ratio")
        value = (
            f"{found.get('choice')}, × {ratio:.2f}, {found.get('when')}"
            if isinstance(ratio, float)
            else f"{found.get('choice')}, {found.get('when')}"
        )
        yield _check(
            "compiled",
            Phrase("Denoiser compiled: {what}", what=key.partition(" | ")[2]),
            "warning" if failed else "ok",
            value,
            Phrase(
                "It failed ({reason}). To try again: {command}", reason=failed[:200], command="commonart bench --probe"
            )
            if failed
            else None,
        )


def _guarded(name: str, checks: Callable[[], Iterator[Check]]) -> list[Check]:
    """The checks; one that breaks becomes a line too."""
    done: list[Check] = []
    try:
        for check in checks():
            done.append(check)
    except Exception as e:
        done.append(
            _check(
                name,
                Phrase("Check {name}", name=name),
                "warning",
                None,
                Phrase(
                    "It could not be made ({reason})",
                    reason=_short(e) if isinstance(e, CommonArtError) else f"{type(e).__name__}: {_short(e)}",
                ),
            )
        )
    return done


def examine(wanted: ModelFolder | None = None) -> list[Check]:
    """Every check, in the order to show them; memory plans of ``wanted`` instead of the largest model."""
    checks = [_check("python", Phrase("Python"), "ok", f"{platform.python_version()}, {platform.platform()}")]
    line, torch = library("torch", "PyTorch", "torch", extra=_torch_build)
    checks.append(line)
    checks += _guarded("devices", lambda: devices(torch))
    checks.append(auto())
    checks.append(library("diffusers", "Diffusers", "diffusers")[0])
    checks.append(library("transformers", "Transformers", "transformers")[0])
    checks.append(library("optimum", "Optimum", "optimum")[0])
    runtime = (
        ("onnxruntime",) if sys.platform == "darwin" else ("onnxruntime-gpu", "onnxruntime", "onnxruntime-directml")
    )
    checks.append(library("onnxruntime", "ONNX Runtime", *runtime, extra=_providers)[0])
    checks.append(library("PySide6.QtWidgets", "PySide6", "PySide6-Essentials", "PySide6", load=_qt)[0])
    checks += _guarded("data-folder", data_folder)
    checks += _guarded("text-cache", lambda: iter([text_cache()]))
    checks += _guarded("models", models)
    checks += _guarded("memory", lambda: memory_plans(torch, wanted))
    checks += _guarded("compiled", compiled)
    threads = torch.get_num_threads() if torch is not None else os.cpu_count() or 1
    checks.append(_check("threads", Phrase("Threads"), "ok", f"{threads} / {os.cpu_count() or 1}"))
    ram = ram_bytes()
    little = ram is not None and ram < LITTLE_RAM
    checks.append(
        _check(
            "ram",
            Phrase("Memory"),
            "warning" if little else "ok",
            None if ram is None else size(ram),
            Phrase("Less than {size}: only small models fit", size=size(LITTLE_RAM)) if little else None,
        )
    )
    return checks


def work(argv: list[str]) -> dict[str, Any]:
    """``{"checks": [...]}``."""
    parser = JsonArgumentParser(prog="python -m engine.doctor", description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--text-encoder")
    parser.add_argument("--vae")
    args = parser.parse_args(argv)
    return {"checks": examine(open_model(args.model, args.text_encoder, args.vae) if args.model else None)}


if __name__ == "__main__":
    status = run_json_program(work)
    sys.stderr.flush()
    os._exit(status)  # no second thoughts of native thread pools at exit
