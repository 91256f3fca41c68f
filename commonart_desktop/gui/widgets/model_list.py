"""The models that are installed, read by the checkpoint program."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commonart_desktop.core.process import program
from engine.contract.errors import (
    CommonArtError,
    NotExportable,
    Phrase,
    from_wire,
)


@dataclass(frozen=True)
class ModelInfo:
    """A model of this machine, or what is wrong with it."""

    name: str
    path: str
    own_side: int | None
    multiple: int | None
    problem: CommonArtError | None = None


def list_models() -> list[ModelInfo]:
    """Every known model. Raises CommonArtError."""
    from engine.contract.errors import from_wire

    return [
        ModelInfo(m["name"], m["path"], m["own_side"], m["multiple"], None if m["ok"] else from_wire(m["problem"]))
        for m in program("engine.checkpoint", ["list"])["models"]
    ]


def resolve_model(model: str) -> ModelInfo:
    """Look at a folder; a problem is part of the answer."""
    try:
        found = program("engine.checkpoint", ["resolve", model])
    except CommonArtError as e:
        return ModelInfo(Path(model).name, model, None, None, e)
    return ModelInfo(found["name"], model, found["own_side"], found["multiple"])


@dataclass(frozen=True)
class Exportable(ModelInfo):
    """A model of this machine with the folders of its parts."""

    parts: dict[str, str] = field(default_factory=dict)


def _exportable(row: dict[str, Any], path: str, problem: CommonArtError | None) -> Exportable:
    parts = {k: v for k, v in (row.get("parts") or {}).items() if isinstance(v, str)}
    if problem is None and (Path(row.get("root") or path) / "transformer" / "model.onnx").is_file():
        problem = NotExportable(path=path, why=Phrase("it is an ONNX export already"))
    return Exportable(
        str(row.get("name") or Path(path).name), path, row.get("own_side"), row.get("multiple"), problem, parts
    )


def list_exportable() -> list[ModelInfo]:
    """Every known model but the ONNX folders. Raises CommonArtError."""
    rows = program("engine.checkpoint", ["list"])["models"]
    found = [_exportable(m, m["path"], None if m["ok"] else from_wire(m["problem"])) for m in rows]
    return [m for m in found if not isinstance(m.problem, NotExportable)]


def inspect_model(model: str, text_encoder: str = "", vae: str = "") -> Exportable:
    """One model, with parts if given (they are remembered for it); a problem is part of the answer."""
    arguments = [
        "resolve",
        model,
        *(["--text-encoder", text_encoder] if text_encoder else []),
        *(["--vae", vae] if vae else []),
    ]
    try:
        return _exportable(program("engine.checkpoint", arguments), model, None)
    except CommonArtError as e:
        return Exportable(Path(model).name, model, None, None, e)
