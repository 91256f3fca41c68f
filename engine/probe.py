"""``python -m engine.probe``: which way of running the denoiser is the fastest here, measured once and remembered.

Eager, compiled, and, where an export of the same model is given, ONNX Runtime draw the same small micro-batch by turns, through the
same code as real pictures, in a process of their own with a limit in seconds: the first compilation may take a minute. What is found
is kept in ``compiled.json`` of the data folder, by machine, library versions, shape and dtype; ``commonart doctor`` tells it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.contract.errors import BadValue, CommonArtError, Phrase
from engine.contract.python_process import python_command, python_environment
from engine.home import home
from engine.program import Parser, run_program

WINS = 1.05  # times as fast as eager that compiling must be: less is noise
ROUNDS, STEPS = 5, 4
SECONDS = 240.0


def _notes() -> Path:
    return home() / "compiled.json"


def read() -> dict[str, dict[str, Any]]:
    """Everything that was found, by key; empty where nothing is or the file is damaged."""
    try:
        if _notes().stat().st_size > 1 << 20:
            return {}
        found = json.loads(_notes().read_text(encoding="utf-8"))
        return {str(k): v for k, v in found.items() if isinstance(v, dict)}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


@dataclass
class Known:
    """What is known of one kind of model on this machine."""

    key: str
    found: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, *, device: str, dtype: str, width: int, heads: int) -> Known:
        """Look it up."""
        try:
            torch = version("torch")
        except PackageNotFoundError:
            torch = "?"
        key = f"{this_machine()} | torch {torch} | {device} {dtype} | width {width}, {heads} heads"
        return cls(key, read().get(key, {}))

    @property
    def choice(self) -> str | None:
        """``eager`` or ``compiled``; None if it was never found out."""
        found = self.found.get("choice")
        return found if found in ("eager", "compiled") else None

    def remember(self, choice: str, **more: Any) -> None:
        """Keep it; a data folder that cannot be written costs only the next probe."""
        self.found = {"choice": choice, "when": time.strftime("%Y-%m-%d"), **more}
        aside = _notes().with_suffix(f".{os.getpid()}.tmp")
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps(read() | {self.key: self.found}, indent=1), encoding="utf-8")
            os.replace(aside, _notes())
        except OSError:
            aside.unlink(missing_ok=True)


def this_machine() -> str:
    """The processor in words, and how many cores work."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name} × {os.cpu_count() or 1}"


def _measure(model: list[str | None], device: str, dtype: str, onnx: str | None) -> dict[str, Any]:
    """Seconds a picture and step of each way, by turns; this process is ended afterwards."""
    os.environ["COMMONART_COMPILE"] = "off"
    from engine import pipeline
    from engine.backends import open_backend
    from engine.checkpoint.library import open_model
    from engine.contract.request import ImageRequest
    from engine.planner import batch_size

    folder = open_model(*model)  # type: ignore[arg-type]
    backend: Any = open_backend(folder, kind="pytorch", device=device, dtype=dtype)
    side = folder.own_side
    count = batch_size((side // folder.multiple) ** 2, backend.device)
    requests = [
        pipeline.settle(ImageRequest(prompt=f"a red apple {n % 3}", seed=n, steps=STEPS), folder) for n in range(count)
    ]
    words = pipeline.encode(backend, requests)

    def draw(one: Any, mine: Any, asked: str) -> tuple[float, Any]:
        os.environ["COMMONART_COMPILE"] = asked
        began = time.perf_counter()
        latents = one.join([pipeline.draw(one, requests, mine)])
        if backend.device.startswith("cuda"):
            latents = latents.cpu()  # which waits for it
        return time.perf_counter() - began, latents

    ways = {"eager": (backend, words, "off"), "compiled": (backend, words, "on")}
    if onnx:
        other = open_backend(open_model(onnx), device="cpu")
        ways["onnx"] = other, pipeline.encode(other, requests), "off"
    first = {name: draw(*way) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for n in range(ROUNDS):
        for name in list(ways) if n % 2 else list(ways)[::-1]:
            times[name].append(draw(*ways[name])[0] / count / STEPS)
    import numpy as np

    exact = np.asarray(first["eager"][1], dtype=np.float64)
    apart = float(
        np.abs(np.asarray(first["compiled"][1], dtype=np.float64) - exact).max() / max(1e-12, np.abs(exact).max())
    )
    exported = (
        {"onnx_ratio": statistics.median(a / b for a, b in zip(times["eager"], times["onnx"], strict=True))}
        if onnx
        else {}
    )
    worked, notes = backend._compiling is not None and backend._compiling.worked, [str(n) for n in backend.notes]
    return exported | {
        "seconds_per_step": {k: statistics.median(v) for k, v in times.items()},
        "ratio": statistics.median(a / b for a, b in zip(times["eager"], times["compiled"], strict=True)),
        "ratios": [round(a / b, 3) for a, b in zip(times["eager"], times["compiled"], strict=True)],
        "first_seconds": first["compiled"][0],
        "apart": apart,
        "pictures": count,
        "worked": worked,
        "notes": notes,
        "device": backend.device,
        "dtype": backend.dtype,
        "width": backend._denoiser.config.width,
        "heads": backend._denoiser.config.num_attention_heads,
    }


def probe(argv: list[str]) -> dict[str, Any]:
    """Measure and remember."""
    parser = Parser(prog="python -m engine.probe", description=__doc__)
    parser.add_argument("--model", default="commonart-mini")
    parser.add_argument("--text-encoder")
    parser.add_argument("--vae")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", choices=["auto", "fp32", "bf16", "fp16"])
    parser.add_argument("--onnx", help="an export of the same model")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="give up after so many")
    parser.add_argument("--child", action="store_true")
    args = parser.parse_args(argv)
    if not 1 <= args.seconds <= 86400:
        raise BadValue(
            name="seconds", value=args.seconds, why=Phrase("it must lie between {low} and {high}", low=1, high=86400)
        )
    if args.child:
        return _measure([args.model, args.text_encoder, args.vae], args.device, args.dtype, args.onnx)
    from engine.checkpoint.library import open_model

    folder = open_model(
        args.model, args.text_encoder, args.vae
    )  # what is wrong with it is told before anything is started
    try:
        told = subprocess.run(
            python_command("-m", "engine.probe", *argv, "--child"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            timeout=args.seconds,
            env=python_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        config = folder.denoiser_config
        heads = int(config.get("num_attention_heads") or 16)
        if args.device != "auto" and args.dtype != "auto":
            Known.of(
                device=args.device,
                dtype=args.dtype,
                width=heads * int(config.get("attention_head_dim") or 72),
                heads=heads,
            ).remember("eager", failed=f"more than {args.seconds:.0f} s")
        return {"choice": "eager", "failed": f"more than {args.seconds:.0f} s", "model": folder.name}
    answer = json.loads(told.stdout or "{}")
    if not answer.get("ok"):
        from engine.contract.errors import from_wire

        raise (
            from_wire(answer["error"]) if "error" in answer else CommonArtError(why=f"engine.probe, {told.returncode}")
        )
    answer.pop("ok")
    good = (
        answer["worked"] and answer["ratio"] >= WINS and answer["apart"] < (1e-4 if answer["dtype"] == "fp32" else 0.05)
    )
    known = Known.of(device=answer["device"], dtype=answer["dtype"], width=answer["width"], heads=answer["heads"])
    known.remember(
        "compiled" if good else "eager",
        ratio=round(answer["ratio"], 3),
        seconds_per_step=answer["seconds_per_step"],
        **({} if answer["worked"] else {"failed": "; ".join(answer["notes"])}),
    )
    choice = known.choice
    if args.onnx:
        from engine import standin

        export, better = open_model(args.onnx), answer["onnx_ratio"] >= max(WINS, answer["ratio"] if good else 0)
        if answer["device"] == "cpu" and answer["dtype"] == "fp32" and standin.same(folder, export):
            choice = standin.CHOICE if better else choice
            standin.known(folder.hashes()["denoiser"]).remember(
                choice or "eager",
                ratio=round(answer["onnx_ratio"], 3),
                folder=str(export.root.resolve()),
                device=args.device,
            )
    return answer | {"choice": choice, "model": folder.name}


if __name__ == "__main__":
    code = run_program(probe)
    sys.stderr.flush()
    os._exit(code)  # no second thoughts of native thread pools at exit
