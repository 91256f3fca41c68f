"""Files that cannot be written."""

from __future__ import annotations

from engine.contract.errors.base import OutputError


class OutputFolder(OutputError):
    kind = "output-folder"
    message = "The folder {path} cannot be written: {why}"
    hint = "Choose another with --out, or make it writable."


class OutputFile(OutputFolder):
    kind = "output-file"
    message = "{path} cannot be written: {why}"
    hint = "Close the programs that have it open, or make it and its folder writable."


class DataFolder(OutputError):
    kind = "data-folder"
    message = "The data folder {path} cannot be written: {why}"
    hint = "Make it writable, or set COMMONART_HOME to another folder."


class DiskFull(OutputError):
    kind = "disk-full"
    message = "The disk of {path} is full"
    hint = "Free some space, then go on; finished images are safe."
