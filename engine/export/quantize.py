"""Weights of matrix products in eight bits, activations quantised dynamically.

The nodes that ONNX Runtime's ``quantize_dynamic`` writes for MatMul, per channel: DynamicQuantizeLinear, MatMulInteger,
Cast, Mul. They are written here tensor by tensor, since that function loads the whole model and asks onnx for
shapes that it cannot infer for these graphs.
"""

from __future__ import annotations

import gc
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from engine.contract.files import rename
from engine.export.graphs import LARGE

#: Layers left in fp32, by the names of their modules: the denoiser's output, and what all its blocks read.
SENSITIVE = re.compile(r"\b(proj_out|caption_projection|adaln_single)\b")
#: : Weights are signed and stay within seven bits: x86 processors without VNNI add the products of an unsigned and a
#: signed
#: byte in sixteen bits, which eight full bits overflow (``reduce_range`` in ONNX Runtime).
INT8_LIMIT = 64


def quantize_to_int8(file: Path) -> int:
    """Quantise the graph in ``file`` in place; returns the number of matrix products changed."""
    model = ir.load(file)  # its weights stay on disk
    changed = _rewrite(model.graph)
    temporary = file.parent / ".int8"
    temporary.mkdir()
    size = sum(t.const_value.nbytes for t in model.graph.initializers.values() if t.const_value is not None)
    ir.save(model, temporary / file.name, external_data=f"{file.name}_data" if size > LARGE else None)
    del model
    gc.collect()  # Windows replaces no file that is still mapped
    for old in (file, file.with_name(file.name + "_data")):
        old.unlink(missing_ok=True)
    for new in temporary.iterdir():
        rename(new, file.parent / new.name, overwrite=True)
    shutil.rmtree(temporary)
    return changed


def _scope(node: ir.Node) -> str:
    """The modules that a node came from, by the metadata of torch's exporter."""
    return str(node.metadata_props.get("pkg.torch.onnx.name_scopes", node.name))


def _rewrite(graph: ir.Graph) -> int:
    inputs: dict[ir.Value, tuple[ir.Value, ...]] = {}  # activations shared by several products are quantised once
    weights: dict[str, tuple[ir.Value, ...]] = {}
    changed = 0
    for node in list(graph):
        if node.op_type != "MatMul" or SENSITIVE.search(_scope(node)):
            continue
        x, w = node.inputs
        if (
            x is None
            or w is None
            or w.name is None
            or w.name not in graph.initializers
            or w.const_value is None
            or len(w.const_value.shape) != 2
        ):
            continue
        if x not in inputs:
            quantized = ir.node("DynamicQuantizeLinear", [x], num_outputs=3, name=f"{node.name}_quantize_input")
            graph.insert_before(node, quantized)
            for value, dtype in zip(
                quantized.outputs, (ir.DataType.UINT8, ir.DataType.FLOAT, ir.DataType.UINT8), strict=True
            ):
                value.dtype = dtype
            inputs[x] = tuple(quantized.outputs)
        if w.name not in weights:
            weights[w.name] = _weight(graph, w.name, w.const_value)
        _replace(graph, node, inputs[x], weights[w.name])
        if not w.uses():
            del graph.initializers[w.name]
        changed += 1
    return changed


def _weight(graph: ir.Graph, name: str, tensor: Any) -> tuple[ir.Value, ...]:
    """Initializers for a weight ``[in, out]``: int8 values, float32 scales ``[out]``, int8 zero points ``[out]``."""
    scales = np.maximum(np.abs(tensor.numpy()).max(0) / INT8_LIMIT, np.finfo(np.float32).tiny).astype(np.float32)

    def quantized() -> Any:  # computed when it is written: one weight at a time is in memory
        return ir.tensor(
            np.rint(tensor.numpy() / scales).clip(-INT8_LIMIT, INT8_LIMIT).astype(np.int8), name=f"{name}_int8"
        )

    tensors: tuple[Any, ...] = (
        ir.LazyTensor(quantized, ir.DataType.INT8, ir.Shape(tensor.shape), name=f"{name}_int8"),
        ir.tensor(scales, name=f"{name}_scale"),
        ir.tensor(np.zeros_like(scales, np.int8), name=f"{name}_zero"),
    )
    values = []
    for one in tensors:
        value = ir.Value(name=one.name, shape=ir.Shape(one.shape), type=ir.TensorType(one.dtype), const_value=one)
        graph.register_initializer(value)
        values.append(value)
    return tuple(values)


def _replace(graph: ir.Graph, node: ir.Node, x: tuple[ir.Value, ...], w: tuple[ir.Value, ...]) -> None:
    product = ir.node("MatMulInteger", [x[0], w[0], x[2], w[2]], name=f"{node.name}_int8")
    real = ir.node("Cast", [product.outputs[0]], {"to": ir.DataType.FLOAT.value}, name=f"{node.name}_cast")
    scale = ir.node("Mul", [x[1], w[1]], name=f"{node.name}_scales")
    out = ir.node("Mul", [real.outputs[0], scale.outputs[0]], name=f"{node.name}_scaled")
    old, new = node.outputs[0], out.outputs[0]
    new.shape, new.type = old.shape, old.type
    graph.insert_before(node, [product, real, scale, out])
    old.replace_all_uses_with(new)
    graph.remove(node, safe=True)
