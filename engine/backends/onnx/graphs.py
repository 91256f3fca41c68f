"""Very small hand-written ONNX graphs: to test a provider, and to compute with latents on their device.

The onnx library is not needed.
Field numbers are those of onnx.proto3 (IR version 8, opset 17).
"""

from __future__ import annotations

from collections.abc import Sequence

FLOAT, INT64, FLOAT16 = 1, 7, 10  # TensorProto.DataType
#: an operation: its type, inputs, outputs, and integer attributes by name
Node = tuple[str, Sequence[str], Sequence[str], dict[str, int]]


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def _number(field: int, n: int) -> bytes:
    return _varint(field << 3) + _varint(n)


def _bytes(field: int, data: bytes | str) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return _varint(field << 3 | 2) + _varint(len(raw)) + raw


def _value(name: str, kind: int, rank: int) -> bytes:
    shape = b"".join(_bytes(1, _bytes(2, f"{name}_{n}")) for n in range(rank))
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, shape)))


def graph(
    nodes: Sequence[Node], inputs: Sequence[tuple[str, int, int]], outputs: Sequence[tuple[str, int, int]]
) -> bytes:
    """A model; ``inputs`` and ``outputs`` are (name, kind, rank) with open axes."""
    body = b""
    for op, node_inputs, node_outputs, attributes in nodes:
        node = b"".join(_bytes(1, n) for n in node_inputs) + b"".join(_bytes(2, n) for n in node_outputs)
        node += _bytes(4, op)
        for key, value in attributes.items():
            node += _bytes(5, _bytes(1, key) + _number(3, value) + _number(20, 2))  # 2: an integer
        body += _bytes(1, node)
    body += (
        _bytes(2, "g")
        + b"".join(_bytes(11, _value(*v)) for v in inputs)
        + b"".join(_bytes(12, _value(*v)) for v in outputs)
    )
    return _number(1, 8) + _bytes(8, _bytes(1, "") + _number(2, 17)) + _bytes(7, body)


def doubling() -> bytes:
    """``y = x + x``, float32 with one axis: enough to see whether a provider runs."""
    return graph([("Add", ("x", "x"), ("y",), {})], [("x", FLOAT, 1)], [("y", FLOAT, 1)])
