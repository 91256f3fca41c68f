"""Encoders as ONNX graphs: SSCD, DINO, and CLIPs with custom code that were exported once.

``NAME.onnx`` needs ``NAME.json`` next to it, or ``encoder.json`` in its folder::

    {"image": "sscd.onnx", "size": 288, "resize": "bilinear", "crop": false,
     "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
     "text": "text.onnx", "tokenizer": "tokenizer.json", "max_tokens": 77, "pad": 0}

``size`` is a number or [height, width]; with ``crop`` the shorter side is resized to ``size`` and the centre is cropped,
without it the image is stretched; ``text``, ``tokenizer``, ``max_tokens`` and ``pad`` are for encoders that also read
text. The layout of transformers.js (``onnx/vision_model.onnx``, ``onnx/text_model.onnx``,
``preprocessor_config.json``, ``tokenizer.json``) needs no such file.
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
from trainer.evaluation.encoders.base import checked, hash_of
from trainer.evaluation.encoders.preprocess import Fitting, from_preprocessor, three_floats, validated

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
    """A graph for images and optionally one for text, on the CPU."""

    reads_text = False

    def __init__(self, given: Path) -> None:
        self._path, self.name = given, given.stem if given.is_file() else given.resolve().name
        folder = given.parent if given.is_file() else given
        image, description, files = self._description(given, folder)
        self._fitting = self._fit(description, folder, files)
        self.resizer = str(self._fitting)
        self._image = _session(image, given)
        files.append(image)
        self._check_input()
        text = (
            _inside(folder, description["text"], given)
            if description.get("text")
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
            tokenizer = _inside(folder, str(description.get("tokenizer", "tokenizer.json")), given)
            self._text, self._tokenizer = (
                _session(text, given),
                _tokenizer(tokenizer, int(description.get("max_tokens", 77)), int(description.get("pad", 0)), given),
            )
            files += [text, tokenizer]
            self.reads_text = True
        files += [
            f for one in {image, text or image} for f in one.parent.glob(f"{one.name}*data*") if f.is_file()
        ]  # external weights of the graphs
        self.sha256 = hash_of(sorted(set(files)))

    def _description(self, given: Path, folder: Path) -> tuple[Path, dict[str, Any], list[Path]]:
        """The graph for images, the content of the JSON file, and the files that determine the features so far."""
        json_file = given.with_suffix(".json") if given.is_file() else folder / "encoder.json"
        json_file = json_file if json_file.is_file() else folder / "encoder.json"
        description = read_config(json_file) if json_file.is_file() else {}
        files = [json_file] if description else []
        if given.is_file():
            return given, description, files
        if description.get("image"):
            return _inside(folder, description["image"], given), description, files
        for name in ("onnx/vision_model.onnx", "vision_model.onnx", "onnx/model.onnx", "model.onnx"):
            if (folder / name).is_file():
                return folder / name, description, files
        graphs = sorted(folder.glob("*.onnx"))
        if len(graphs) != 1:
            raise BadEncoder(
                path=given,
                why=Phrase(
                    "it has no config.json with .safetensors, and no .onnx file that is plainly the one for images"
                ),
            )
        return graphs[0], description, files

    def _fit(self, description: dict[str, Any], folder: Path, files: list[Path]) -> Fitting:
        if "size" in description:
            try:
                size = description["size"]
                height, width = (
                    (int(size), int(size)) if isinstance(size, (int, float)) else (int(size[0]), int(size[1]))
                )
                short = None if not description.get("crop", True) else int(description.get("short", max(height, width)))
                return validated(
                    Fitting(
                        size=(height, width),
                        short=short,
                        resample=str(description.get("resize", "bicubic")),
                        scale=float(description.get("scale", 1 / 255)),
                        mean=three_floats(description.get("mean", (0, 0, 0))),
                        std=three_floats(description.get("std", (1, 1, 1))),
                    )
                )
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
        """Refuse at once a graph that does not accept images of that size."""
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

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
        """float32 ``[n, d]``."""
        one = self._image.get_inputs()[0]
        pixels = self._fitting.batch(images).astype(np.float16 if one.type == "tensor(float16)" else np.float32)
        if one.shape[0] == 1:  # exported with a fixed batch size of 1
            return np.concatenate([checked(self._run(self._image, {one.name: p[None]}), 1, self._path) for p in pixels])
        return checked(self._run(self._image, {one.name: pixels}), len(images), self._path)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """float32 ``[n, d]``."""
        read = self._tokenizer.encode_batch(list(texts))
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
        except Exception as e:  # onnxruntime has a class for each reason
            raise BadEncoder(
                path=self._path, why=Phrase("ONNX Runtime cannot run it: {error}", error=" ".join(str(e).split())[:200])
            ) from e


def _inside(folder: Path, name: Any, given: Path) -> Path:
    """A file named in the JSON, which must be inside its folder."""
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
