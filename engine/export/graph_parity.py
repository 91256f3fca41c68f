"""The first parity check: every graph against PyTorch on several shapes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Array = np.ndarray[Any, Any]
#: The largest RMS error a graph may have, relative to the RMS of PyTorch's output. Rounding alone gives about 1e-6 in
#: : fp32 and 1e-3 in fp16; eight bits give a few percent, where the bound only separates a broken graph from a coarse
#: one.
RMS_BOUNDS = {"fp32": 1e-4, "fp16": 2e-2, "int8": 0.5}
#: The same for the largest single error, relative to the largest value.
MAX_BOUNDS = {"fp32": 1e-3, "fp16": 1e-1, "int8": 1.0}


def open_session(file: Path) -> onnxruntime.InferenceSession:
    """Open a graph on the CPU, where every machine can repeat the comparison."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 0
    # Within one and a half times the size of the weights: they stay mapped from the file, no copy is packed beforehand,
    # and
    # where a processor has to widen half precision, each weight is widened just before its use and freed after it.
    # (Images are generated afterwards with every optimisation on.)
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def run_graph(graph: onnxruntime.InferenceSession, inputs: dict[str, Array]) -> Array:
    """The graph's only output in float32; inputs are cast to what it reads."""
    types = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(int64)": np.int64}
    out = graph.run(None, {i.name: inputs[i.name].astype(types[i.type]) for i in graph.get_inputs()})[0]
    return np.asarray(out, np.float32)


def check(job: dict[str, Any]) -> dict[str, Any]:
    """Stage: a row for each shape, with the errors of ``job["file"]`` against ``job["reference"]`` without padding."""
    graph = open_session(Path(job["file"]))
    rows: list[dict[str, Any]] = []
    with np.load(job["reference"]) as reference:
        cases = sorted({name.partition("/")[0] for name in reference.files}, key=int)
        for case in cases:
            inputs = {
                name.partition("/")[2]: reference[name] for name in reference.files if name.startswith(f"{case}/")
            }
            want = inputs.pop("out")
            got = run_graph(graph, inputs)
            rows.append(
                {"shapes": {k: list(v.shape) for k, v in inputs.items()}}
                | relative_errors(want, got, inputs.get("attention_mask"))
            )
    dtype = job["dtype"]
    for row in rows:
        row["good"] = row["rms"] <= RMS_BOUNDS[dtype] and row["max"] <= MAX_BOUNDS[dtype]
    return {
        "part": job["part"],
        "dtype": dtype,
        "bound_rms": RMS_BOUNDS[dtype],
        "bound_max": MAX_BOUNDS[dtype],
        "rows": rows,
        "good": all(row["good"] for row in rows),
    }


def relative_errors(want: Array, got: Array, mask: Array | None = None) -> dict[str, float]:
    """``rms`` relative to the RMS of ``want``, ``max`` relative to its largest value.

    Another shape, NaN or infinity counts as 1e9.
    """
    if want.shape != got.shape or not np.isfinite(got).all():
        return {"rms": 1e9, "max": 1e9, "rms_absolute": 1e9, "max_absolute": 1e9}
    if mask is not None and mask.any():
        want, got = want[mask.astype(bool)], got[mask.astype(bool)]
    difference = np.abs(want.astype(np.float64) - got)
    rms, largest = math.sqrt(float((difference**2).mean())), float(difference.max())
    return {
        "rms": rms / (math.sqrt(float((want.astype(np.float64) ** 2).mean())) or 1),
        "max": largest / (float(np.abs(want).max()) or 1),
        "rms_absolute": rms,
        "max_absolute": largest,
    }
