"""``python -m engine.bench.autotune``: which way of running the denoiser is the fastest here, measured once and
remembered.

Eager and compiled blocks generate the same small micro-batch alternately, through the same code as real images, in a
process of their own with a limit in seconds: the first compilation may take a minute. The result is stored in
``compiled.json`` of the data folder, by machine, library versions, shape and dtype; ``commonart doctor`` shows it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from engine.contract.errors import BadValue, CommonArtError, Phrase
from engine.contract.python_process import python_command, python_environment
from engine.system.json_program import JsonArgumentParser, run_json_program
from engine.system.tuning import TuningRecord

WINS = 1.05  # compiled must be this many times as fast as eager: less is noise
ROUNDS, STEPS = 5, 4
SECONDS = 240.0


def _measure(model: list[str | None], device: str, dtype: str) -> dict[str, Any]:
    """Seconds per image and step of each variant, measured alternately; this process ends afterwards."""
    os.environ["COMMONART_COMPILE"] = "off"
    from engine import pipeline
    from engine.backends.factory import open_backend
    from engine.checkpoint.library import open_model
    from engine.contract.request import ImageRequest
    from engine.worker.batching import batch_size

    folder = open_model(*model)  # type: ignore[arg-type]
    backend: Any = open_backend(folder, kind="pytorch", device=device, dtype=dtype)
    side = folder.own_side
    count = batch_size((side // folder.multiple) ** 2, backend.device)
    requests = [
        pipeline.settle(ImageRequest(prompt=f"a red apple {n % 3}", seed=n, steps=STEPS), folder) for n in range(count)
    ]
    features = pipeline.encode(backend, requests)

    def denoise(one: Any, own: Any, mode: str) -> tuple[float, Any]:
        os.environ["COMMONART_COMPILE"] = mode
        began = time.perf_counter()
        latents = one.join([pipeline.denoise_batch(one, requests, own)])
        if backend.device.startswith("cuda"):
            latents = latents.cpu()  # waits for the device
        return time.perf_counter() - began, latents

    variants = {"eager": (backend, features, "off"), "compiled": (backend, features, "on")}
    first = {name: denoise(*variant) for name, variant in variants.items()}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for n in range(ROUNDS):
        for name in list(variants) if n % 2 else list(variants)[::-1]:
            times[name].append(denoise(*variants[name])[0] / count / STEPS)
    import numpy as np

    exact = np.asarray(first["eager"][1], dtype=np.float64)
    difference = float(
        np.abs(np.asarray(first["compiled"][1], dtype=np.float64) - exact).max() / max(1e-12, np.abs(exact).max())
    )
    worked, notes = backend._compilation is not None and backend._compilation.worked, [str(n) for n in backend.notes]
    return {
        "seconds_per_step": {k: statistics.median(v) for k, v in times.items()},
        "ratio": statistics.median(a / b for a, b in zip(times["eager"], times["compiled"], strict=True)),
        "ratios": [round(a / b, 3) for a, b in zip(times["eager"], times["compiled"], strict=True)],
        "first_seconds": first["compiled"][0],
        "apart": difference,
        "pictures": count,
        "worked": worked,
        "notes": notes,
        "device": backend.device,
        "dtype": backend.dtype,
        "width": backend._denoiser.config.width,
        "heads": backend._denoiser.config.num_attention_heads,
    }


def probe(argv: list[str]) -> dict[str, Any]:
    """Measure in a child process and store the result.

    Raises:
        BadValue, what ``open_model`` raises, and what the child reports.
    """
    parser = JsonArgumentParser(prog="python -m engine.bench.autotune", description=__doc__)
    parser.add_argument("--model", default="commonart-mini")
    parser.add_argument("--text-encoder")
    parser.add_argument("--vae")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", choices=["auto", "fp32", "bf16", "fp16"])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="give up after so many")
    parser.add_argument("--child", action="store_true")
    args = parser.parse_args(argv)
    if not 1 <= args.seconds <= 86400:
        raise BadValue(
            name="seconds", value=args.seconds, why=Phrase("it must lie between {low} and {high}", low=1, high=86400)
        )
    if args.child:
        return _measure([args.model, args.text_encoder, args.vae], args.device, args.dtype)
    from engine.checkpoint.library import open_model

    folder = open_model(args.model, args.text_encoder, args.vae)  # its errors are raised before anything is started
    try:
        child = subprocess.run(
            python_command("-m", "engine.bench.autotune", *argv, "--child"),
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
            TuningRecord.of(
                device=args.device,
                dtype=args.dtype,
                width=heads * int(config.get("attention_head_dim") or 72),
                heads=heads,
            ).remember("eager", failed=f"more than {args.seconds:.0f} s")
        return {"choice": "eager", "failed": f"more than {args.seconds:.0f} s", "model": folder.name}
    answer = json.loads(child.stdout or "{}")
    if not answer.get("ok"):
        from engine.contract.errors import from_wire

        raise (
            from_wire(answer["error"])
            if "error" in answer
            else CommonArtError(why=f"engine.bench.autotune, {child.returncode}")
        )
    answer.pop("ok")
    compiled_wins = (
        answer["worked"] and answer["ratio"] >= WINS and answer["apart"] < (1e-4 if answer["dtype"] == "fp32" else 0.05)
    )
    record = TuningRecord.of(
        device=answer["device"], dtype=answer["dtype"], width=answer["width"], heads=answer["heads"]
    )
    record.remember(
        "compiled" if compiled_wins else "eager",
        ratio=round(answer["ratio"], 3),
        seconds_per_step=answer["seconds_per_step"],
        **({} if answer["worked"] else {"failed": "; ".join(answer["notes"])}),
    )
    choice = record.choice
    return answer | {"choice": choice, "model": folder.name}


if __name__ == "__main__":
    code = run_json_program(probe)
    sys.stderr.flush()
    os._exit(code)  # native thread pools of the libraries may crash at a normal exit
