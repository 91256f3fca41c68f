"""Export to ONNX."""

from __future__ import annotations

from engine.contract.errors.base import EngineError, ModelError, OutputError, UsageError


class ExportOut(UsageError):
    kind = "export-out"
    message = "{path} cannot be exported into: {why}"
    hint = "Give a folder that is not there yet, or an empty one."


class NotExportable(UsageError):
    kind = "not-exportable"
    message = "{path} cannot be exported: {why}"


class TooLittleMemory(EngineError):
    kind = "too-little-memory"
    message = "Exporting the {part} needs about {need} GB of memory, this machine has {have} GB"
    hint = "Export on a machine with more memory; --dtype fp16 needs about half as much."


class TooLittleDisk(OutputError):
    kind = "too-little-disk"
    message = "The disk of {path} has {free} MB left, this export needs about {need} MB"
    hint = "Free some space or choose another disk; nothing was written."


class ParityMissed(EngineError):
    kind = "parity-missed"
    message = "The export was removed: its {part} does not give what PyTorch gives ({found}, the bound is {bound})"
    hint = "Use --dtype fp32 without --quantize; if it fails too, report it with the model's name."


class ExportAltered(ModelError):
    kind = "export-altered"
    message = "{path} is not what was exported: {why}"
    hint = "Export the model again; a graph that was changed by hand is not used."
