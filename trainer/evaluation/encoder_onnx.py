"""Encoders as ONNX graphs: SSCD, DINO, CLIPs with code of their own, exported once.

Beside ``NAME.onnx`` lies ``NAME.json``, or ``encoder.json`` in its folder::

    {"image": "sscd.onnx", "size": 288, "resize": "bilinear", "crop": false, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
     "text": "text.onnx", "tokenizer": "tokenizer.json", "max_tokens": 77, "pad": 0}

``size`` is a number or [height, width]; ``crop`` true makes the shorter side ``size`` long and cuts the middle out, false stretches; ``text``,
``tokenizer``, ``max_tokens`` and ``pad`` are for encoders that read words too. The layout of transformers.js (``onnx/vision_model.onnx``,
``onnx/text_model.onnx``, ``preprocessor_config.json``, ``tokenizer.json``) is taken without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.checkpoint.config_files import read_config
from engine.contract.errors import BadEncoder, MissingLibrary, Phrase
from engine.contract.python_process import pip_install
from trainer.evaluation.encoder_base import checked, hash_of
from trainer.evaluation.fitting import Fitting, from_preprocessor, sound

_EXAMPLE = '{"size": 224, "resize": "bicubic", "crop": true, "mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}'
_PREFERRED = (
    "image_embeds",
    "text_embeds",
    "embeddings",
    "embedding",
    "features",
    "pooler_output",
    "last_hidden_state",
)


class OnnxEncoder:
    """One graph for pictures and perhaps one for words, on the processor."""

    reads_text = False

    def __init__(self, given: Path) -> None:
        self._path, self.name = given, given.stem if given.is_file() else given.resolve().name
        folder = given.parent if given.is_file() else given
        image, told, files = self._told(given, folder)
        self._fitting = self._fit(told, folder, files)
        self.resizer = str(self._fitting)
        self._image = _session(image, given)
        files.append(image)
        self._check_input()
        text = (
            _inside(folder, told["text"], given)
            if told.get("text")
            else next(
                (
                    f
                    for f in (folder / "onnx" / "text_model.onnx", folder / "text_model.onnx")
                    if given.is_dir() and f.is_file()
                ),
                None,
            )
        )
        if text is not None:
            words = _inside(folder, str(told.get("tokenizer", "tokenizer.json")), given)
            self._text, self._words = (
                _session(text, given),
                _tokenizer(words, int(told.get("max_tokens", 77)), int(told.get("pad", 0)), given),
            )
            files += [text, words]
            self.reads_text = True
        files += [
            f for one in {image, text or image} for f in one.parent.glob(f"{one.name}*data*") if f.is_file()
        ]  # weights beside their graph
        self.sha256 = hash_of(sorted(set(files)))

    def _told(self, given: Path, folder: Path) -> tuple[Path, dict[str, Any], list[Path]]:
        """The graph for pictures, the JSON beside it, and the files that count so far."""
        beside = given.with_suffix(".json") if given.is_file() else folder / "encoder.json"
        beside = beside if beside.is_file() else folder / "encoder.json"
        told = read_config(beside) if beside.is_file() else {}
        files = [beside] if told else []
        if given.is_file():
            return given, told, files
        if told.get("image"):
            return _inside(folder, told["image"], given), told, files
        for name in ("onnx/vision_model.onnx", "vision_model.onnx", "onnx/model.onnx", "model.onnx"):
            if (folder / name).is_file():
                return folder / name, told, files
        graphs = sorted(folder.glob("*.onnx"))
        if len(graphs) != 1:
            raise BadEncoder(
                path=given,
                why=Phrase(
                    "it has no config.json with .safetensors, and no .onnx file that is plainly the one for images"
                ),
            )
        return graphs[0], told, files

    def _fit(self, told: dict[str, Any], folder: Path, files: list[Path]) -> Fitting:
        if "size" in told:
            try:
                size = told["size"]
                height, width = (
                    (int(size), int(size)) if isinstance(size, (int, float)) else (int(size[0]), int(size[1]))
                )
                short = None if not told.get("crop", True) else int(told.get("short", max(height, width)))
                return sound(
                    Fitting(
                        size=(height, width),
                        short=short,
                        resample=str(told.get("resize", "bicubic")),
                        scale=float(told.get("scale", 1 / 255)),
                        mean=tuple(map(float, told.get("mean", (0, 0, 0)))),
                        std=tuple(map(float, told.get("std", (1, 1, 1)))),
                    )
                )  # type: ignore[arg-type]
            except (ValueError, TypeError, IndexError, KeyError) as e:
                raise BadEncoder(
                    path=self._path,
                    why=Phrase(
                        "its JSON does not say how images are prepared; it reads like {example}", example=_EXAMPLE
                    ),
                ) from e
        given = folder / "preprocessor_config.json"
        if given.is_file():
            files.append(given)
            return from_preprocessor(read_config(given), self._path)
        raise BadEncoder(
            path=self._path,
            why=Phrase(
                "a JSON file of the same name must say how images are prepared, like {example}", example=_EXAMPLE
            ),
        )

    def _check_input(self) -> None:
        """Refuse at once a graph that takes no pictures of that size."""
        inputs = self._image.get_inputs()
        shape = list(inputs[0].shape)
        wanted = [None, 3, *self._fitting.size]
        if (
            len(inputs) != 1
            or len(shape) != 4
            or any(isinstance(s, int) and w is not None and s != w for s, w in zip(shape, wanted, strict=True))
        ):
            raise BadEncoder(
                path=self._path,
                why=Phrase(
                    "it takes {found} and its JSON gives images of {wanted}",
                    found=", ".join(str(i.shape) for i in inputs),
                    wanted=str(["n", *wanted[1:]]),
                ),
            )
        if inputs[0].type not in ("tensor(float)", "tensor(float16)"):
            raise BadEncoder(path=self._path, why=Phrase("its input is {kind}, not float", kind=inputs[0].type))

    def pictures(self, images: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
        """float32 ``[n, d]``."""
        one = self._image.get_inputs()[0]
        pixels = self._fitting.batch(images).astype(np.float16 if one.type == "tensor(float16)" else np.float32)
        if one.shape[0] == 1:  # exported for one at a time
            return np.concatenate([checked(self._run(self._image, {one.name: p[None]}), 1, self._path) for p in pixels])
        return checked(self._run(self._image, {one.name: pixels}), len(images), self._path)

    def texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """float32 ``[n, d]``."""
        read = self._words.encode_batch(list(texts))
        columns = {
            "input_ids": [r.ids for r in read],
            "attention_mask": [r.attention_mask for r in read],
            "token_type_ids": [r.type_ids for r in read],
        }
        given = {}
        for each in self._text.get_inputs():
            kind = columns.get(each.name, columns["input_ids"] if len(self._text.get_inputs()) == 1 else None)
            if kind is None:
                raise BadEncoder(
                    path=self._path, why=Phrase("its text half wants {name}, which is not known here", name=each.name)
                )
            given[each.name] = np.array(kind, np.int32 if each.type == "tensor(int32)" else np.int64)
        return checked(self._run(self._text, given), len(texts), self._path)

    def _run(self, session: Any, given: dict[str, np.ndarray[Any, Any]]) -> Any:
        names = [o.name for o in session.get_outputs()]
        wanted = next((n for n in _PREFERRED if n in names), names[0])
        try:
            return session.run([wanted], given)[0]
        except Exception as e:  # onnxruntime has a class a reason
            raise BadEncoder(
                path=self._path, why=Phrase("ONNX Runtime cannot run it: {error}", error=" ".join(str(e).split())[:200])
            ) from e


def _inside(folder: Path, name: Any, given: Path) -> Path:
    """A file that the JSON names, in its own folder and nowhere else."""
    path = folder / str(name)
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise BadEncoder(path=given, why=Phrase("{name} is not a file in its folder", name=str(name)))
    return path


def _session(file: Path, given: Path) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as e:
        raise MissingLibrary(name="onnxruntime", command=pip_install("onnxruntime")) from e
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as e:
        raise BadEncoder(
            path=given,
            why=Phrase(
                "ONNX Runtime cannot open {file}: {error}", file=file.name, error=" ".join(str(e).split())[:200]
            ),
        ) from e


def _tokenizer(file: Path, length: int, pad: int, given: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(length=length, pad_id=pad)
    except Exception as e:
        raise BadEncoder(
            path=given, why=Phrase("its tokenizer cannot be opened: {error}", error=" ".join(str(e).split())[:200])
        ) from e
    return tokenizer
