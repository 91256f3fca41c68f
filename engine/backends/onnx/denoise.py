"""The denoiser under classifier-free guidance, with all inputs bound once for a micro-batch.

On the CPU the bound values share numpy's memory: only the latents are copied. On CUDA captions and masks are copied to
the card once; latents stay there between steps as ``arrays.DeviceArray``, and only the timestep (and a stochastic
sampler's noise) is transferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from engine.backends.onnx.arrays import ArrayMath, DeviceArray
from engine.backends.onnx.encode import Feature
from engine.contract.request import ImageRequest

KINDS: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
}


def padded(rows: Sequence[np.ndarray[Any, Any]], kind: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Captions ``[n, longest, channels]`` and their mask ``[n, longest]`` of 1 and 0."""
    longest = max(len(r) for r in rows)
    states, mask = np.zeros((len(rows), longest, rows[0].shape[1]), kind), np.zeros((len(rows), longest), np.int64)
    for n, row in enumerate(rows):
        states[n, : len(row)] = row
        mask[n, : len(row)] = 1
    return states, mask


class Predictor:
    """Guided prediction for one micro-batch: negative rows first, then positive, in one call.

    Captions are padded to the longest of the micro-batch and masked; masked tokens have no weight, so neighbours
    affect an image by rounding only.
    """

    def __init__(
        self,
        session: Any,
        requests: Sequence[ImageRequest],
        features: dict[str, Feature],
        *,
        channels: int,
        out_channels: int,
        scale: int,
        memory: str,
        index: int,
        math: ArrayMath | None,
    ) -> None:
        """Bind everything but the latents.

        Args:
            session: of the transformer.
            requests: the rows, all of one size.
            features: of every prompt and, under guidance, every negative prompt.
            channels: of the latents.
            out_channels: of the graph's output, with a learned variance.
            scale: pixels per latent.
            memory: ONNX Runtime's name of the memory for bound values.
            index: of the device.
            math: computes on the device; None on the CPU.
        """
        self._session, self._channels = session, channels
        self._memory, self._index, self._math = memory, index, math
        self._kinds = {i.name: KINDS[i.type] for i in session.get_inputs()}
        self._guided = any(r.guidance > 1 for r in requests)
        rows = [features[r.prompt].states for r in requests]
        if self._guided:
            rows = [features[r.negative].states for r in requests] + rows
        self._count, n = len(rows), len(requests)
        width, height = requests[0].width or 0, requests[0].height or 0
        shape = (height // scale, width // scale)
        states, mask = padded(rows, self._kinds["encoder_hidden_states"])
        fixed = {
            "encoder_hidden_states": states,
            "encoder_attention_mask": mask.astype(self._kinds["encoder_attention_mask"]),
        }
        if "resolution" in self._kinds:
            fixed["resolution"] = np.array([[height, width]] * self._count, self._kinds["resolution"])
            fixed["aspect_ratio"] = np.array([[height / width]] * self._count, self._kinds["aspect_ratio"])
        self._scale = np.array([r.guidance for r in requests], np.float32).reshape(-1, 1, 1, 1)
        self._input = np.zeros((self._count, channels, *shape), self._kinds["hidden_states"])
        self._times = np.zeros((self._count,), self._kinds["timestep"])
        out = next(o for o in session.get_outputs() if o.name == "out_hidden_states")
        self._output = np.zeros((self._count, out_channels, *shape), KINDS[out.type])
        self._binding = session.io_binding()
        self._values = {name: self._bind(name, array) for name, array in fixed.items()}
        self._values["timestep"] = self._bind("timestep", self._times)
        self._values["out"] = self._value(self._output)
        self._binding.bind_ortvalue_output("out_hidden_states", self._values["out"])
        if self._on_device:
            self._scale_value = self._value(self._scale)
        else:
            self._values["hidden_states"] = self._bind("hidden_states", self._input)
        self._rows = n

    @property
    def _on_device(self) -> bool:
        return self._math is not None

    def _value(self, array: np.ndarray[Any, Any]) -> Any:
        """Shares the array's memory on the CPU; elsewhere it is a copy."""
        return ort.OrtValue.ortvalue_from_numpy(array, self._memory, self._index)

    def _bind(self, name: str, array: np.ndarray[Any, Any]) -> Any:
        value = self._value(array)
        self._binding.bind_ortvalue_input(name, value)
        return value

    def __call__(self, latents: Any, timestep: float) -> Any:
        """float32 latents ``[n, c, h, w]`` -> float32 prediction of the same shape, in new memory."""
        self._times.fill(timestep)
        if self._math is not None:
            return self._predict_on_device(latents)
        self._input[: self._rows] = latents
        if self._guided:
            self._input[self._rows :] = latents
        self._session.run_with_iobinding(self._binding)
        out = self._output[:, : self._channels].astype(np.float32)
        if not self._guided:
            return out
        negative, positive = out[: self._rows], out[self._rows :]
        return negative + self._scale * (positive - negative)

    def _predict_on_device(self, latents: DeviceArray) -> DeviceArray:
        assert self._math is not None
        self._values["timestep"].update_inplace(self._times)
        self._binding.bind_ortvalue_input("hidden_states", self._math.model_input(latents, self._guided))
        self._session.run_with_iobinding(self._binding)
        return self._math.guided(self._values["out"], self._scale_value if self._guided else None)
