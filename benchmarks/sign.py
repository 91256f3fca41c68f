"""What Content Credentials cost: milliseconds and bytes a picture, beside encoding it.

``python -m benchmarks.sign [--json]``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def timed(work: Callable[[], Any], times: int) -> dict[str, float]:
    """Median and 95th percentile in milliseconds, after three runs that do not count.

    And the processor's time, which others' work disturbs less.
    """
    for _ in range(3):
        work()
    took, busy = [], []
    for _ in range(times):
        began, at_work = time.perf_counter(), time.process_time()
        work()
        took.append(1000 * (time.perf_counter() - began))
        busy.append(1000 * (time.process_time() - at_work))
    return {
        "median_ms": round(statistics.median(took), 2),
        "p95_ms": round(float(np.percentile(took, 95)), 2),
        "cpu_ms": round(statistics.median(busy), 2),
    }


def picture(side: int) -> np.ndarray[Any, Any]:
    """Smooth noise: as hard to pack as a photograph. uint8 RGB ``[side, side, 3]``."""
    small = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)).astype(np.int16)
    return np.clip(smooth + np.random.default_rng(1).integers(-3, 4, smooth.shape), 0, 255).astype(np.uint8)


def measure(side: int, kind: str, times: int) -> dict[str, Any]:
    """One size and format."""
    from engine.contract.provenance_policy import ProvenancePolicy
    from engine.contract.recipe import build
    from engine.contract.request import ImageRequest
    from engine.imagefile.image import pixel_sha256, to_bytes
    from engine.imagefile.xmp import label_of
    from engine.provenance.sign import Signer
    from engine.provenance.verify import Verifier

    pixels = picture(side)
    request = ImageRequest(
        prompt="満開の桜と赤い橋、夕暮れの水彩画", model="commonart-beta", width=side, height=side, seed=7
    )
    recipe = build(
        request,
        model="commonart-beta",
        hashes=dict.fromkeys(("denoiser", "text_encoder", "vae"), "a" * 64),
        backend={
            "backend": "pytorch",
            "device": "cuda",
            "dtype": "bf16",
            "libraries": {"torch": "2.9.0", "diffusers": "0.42.0"},
        },
        batch=(8, 3),
        pixel_sha256=pixel_sha256(pixels),
        app="CommonArt Desktop 0.1.0",
        row="b" * 64,
    )
    signer = Signer(ProvenancePolicy(training_mining="notAllowed"))
    plain = to_bytes(pixels, kind, recipe)
    labelled = to_bytes(pixels, kind, recipe, label_of(recipe, ProvenancePolicy(), True))
    signed = signer.sign(labelled, kind, recipe)
    path = Path(os.environ["COMMONART_HOME"]) / f"p.{kind}"
    path.write_bytes(signed)
    verifier = Verifier()
    assert verifier.verify(path).intact
    found = {
        "side": side,
        "format": kind,
        "bytes": len(plain),
        "label_bytes": len(labelled) - len(plain),
        "manifest_bytes": len(signed) - len(labelled),
        "encode": timed(lambda: to_bytes(pixels, kind, recipe), max(5, times // 8)),
        "sign": timed(lambda: signer.sign(labelled, kind, recipe), times),
        "verify": timed(lambda: verifier.verify(path), max(5, times // 4)),
    }
    signer.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sign", description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"  # the keys of a benchmark are no one's
    with tempfile.TemporaryDirectory() as home:
        os.environ["COMMONART_HOME"] = home
        for side in (512, 1024):
            for kind in ("png", "webp", "jpeg"):
                found = measure(side, kind, args.times)
                if args.json:
                    print(json.dumps(found))
                else:
                    print(
                        f"{side:5} {kind:5} encode {found['encode']['median_ms']:7.2f} ms  sign "
                        f"{found['sign']['median_ms']:6.2f} ms (p95 {found['sign']['p95_ms']:6.2f}, cpu "
                        f"{found['sign']['cpu_ms']:5.2f})"
                        f"  verify {found['verify']['median_ms']:7.2f} ms  {found['bytes'] / 1000:8.1f} kB + label "
                        f"{found['label_bytes']} B"
                        f" + manifest {found['manifest_bytes']} B",
                        flush=True,
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
