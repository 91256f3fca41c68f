"""Latents that stay on the denoiser's device: +, - and * by ONNX Runtime itself, in its device's memory.

``engine.sampling`` computes with any array that has these three operations, so the samplers need not know where the
values are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort

from engine.backends.onnx.graphs import FLOAT, FLOAT16, INT64, Node, graph

Opener = Callable[[bytes], Any]


class ArrayMath:
    """The operations on one device.

    With ``half`` the denoiser's inputs and outputs are float16; latents are always float32.
    """

    def __init__(self, open_graph: Opener, *, channels: int, half: bool, memory: str, index: int) -> None:
        self._channels, self._memory, self._index = channels, memory, index
        own = FLOAT16 if half else FLOAT
        four = ("x", FLOAT, 4)
        self._ops = {
            name: open_graph(graph([(name, ("x", "y"), ("z",), {})], [four, ("y", FLOAT, 4)], [("z", FLOAT, 4)]))
            for name in ("Add", "Sub", "Mul")
        }
        self._single = open_graph(graph([("Cast", ("x",), ("z",), {"to": own})], [four], [("z", own, 4)]))
        self._double = open_graph(
            graph(
                [("Cast", ("x",), ("c",), {"to": own}), ("Concat", ("c", "c"), ("z",), {"axis": 0})],
                [four],
                [("z", own, 4)],
            )
        )
        given = [("x", own, 4), *((n, INT64, 1) for n in ("from", "to", "axis"))]
        without_variance: list[Node] = [
            ("Slice", ("x", "from", "to", "axis"), ("s",), {}),
            ("Cast", ("s",), ("p",), {"to": FLOAT}),
        ]
        self._unguided = open_graph(
            graph([*without_variance, ("Identity", ("p",), ("z",), {})], given, [("z", FLOAT, 4)])
        )
        self._guide = open_graph(
            graph(
                [
                    *without_variance,
                    ("Split", ("p",), ("n", "q"), {"axis": 0}),
                    ("Sub", ("q", "n"), ("d",), {}),
                    ("Mul", ("g", "d"), ("m",), {}),
                    ("Add", ("n", "m"), ("z",), {}),
                ],
                [*given, ("g", FLOAT, 4)],
                [("z", FLOAT, 4)],
            )
        )
        self._limits = {
            name: self.value(np.array([n], np.int64)) for name, n in (("from", 0), ("to", channels), ("axis", 1))
        }

    def value(self, array: np.ndarray[Any, Any]) -> Any:
        """A copy in the device's memory."""
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._memory, self._index)

    def _run(self, session: Any, **inputs: Any) -> Any:
        binding = session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output("z", self._memory, self._index)
        session.run_with_iobinding(binding)
        return binding.get_outputs()[0]

    def array(self, data: np.ndarray[Any, Any]) -> DeviceArray:
        """float32 ``[n, c, h, w]`` copied to the device."""
        return DeviceArray(self, self.value(data.astype(np.float32, copy=False)))

    def compute(self, name: str, x: DeviceArray, y: Any) -> DeviceArray:
        """``Add``, ``Sub`` or ``Mul`` with another array, a numpy array or a number."""
        if not isinstance(y, DeviceArray):
            y = self.array(np.full((1, 1, 1, 1), y, np.float32) if np.ndim(y) == 0 else np.asarray(y))
        return DeviceArray(self, self._run(self._ops[name], x=x.value, y=y.value))

    def model_input(self, x: DeviceArray, twice: bool) -> Any:
        """The denoiser's input: the latents in its dtype, under guidance once for each half."""
        return self._run(self._double if twice else self._single, x=x.value)

    def guided(self, out: Any, scale: Any) -> DeviceArray:
        """The prediction without the learned variance; ``scale`` combines both halves, None if there is only one."""
        if scale is None:
            return DeviceArray(self, self._run(self._unguided, x=out, **self._limits))
        return DeviceArray(self, self._run(self._guide, x=out, g=scale, **self._limits))


class DeviceArray:
    """float32 ``[n, c, h, w]`` in a device's memory. Slices and ``np.asarray`` copy it to the CPU."""

    __array_priority__ = 1000.0  # numpy defers operations to this class
    __array_ufunc__ = None

    def __init__(self, owner: ArrayMath, value: Any) -> None:
        self._owner, self.value = owner, value

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.shape())

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        data: np.ndarray[Any, Any] = self.value.numpy()
        return data if dtype is None else data.astype(dtype, copy=False)

    def __getitem__(self, index: Any) -> np.ndarray[Any, Any]:
        selected: np.ndarray[Any, Any] = np.asarray(self)[index]
        return selected

    def __add__(self, other: Any) -> DeviceArray:
        return self._owner.compute("Add", self, other)

    def __sub__(self, other: Any) -> DeviceArray:
        return self._owner.compute("Sub", self, other)

    def __mul__(self, other: Any) -> DeviceArray:
        return self._owner.compute("Mul", self, other)
