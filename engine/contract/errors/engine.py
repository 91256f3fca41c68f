"""Generating images: devices, memory, libraries, processes."""

from __future__ import annotations

from engine.contract.errors.base import CommonArtError, EngineError, UsageError


class OutOfMemory(EngineError):
    kind = "out-of-memory"
    message = "There was not enough memory on {device} for one image of {width}x{height}"
    hint = "Choose a smaller size, a smaller dtype (--dtype bf16) or another device, or close other programs."


class NotFinite(EngineError):
    kind = "not-finite"
    message = "The image came out as not-a-number in {dtype}"
    hint = "Use a wider dtype: --dtype fp32 (or bf16 instead of fp16)."


class NoDevice(UsageError):
    kind = "no-device"
    message = "The device {device!r} cannot be used: {why}"
    hint = "`commonart doctor` lists the devices of this machine; --device auto chooses one."


class MissingLibrary(EngineError):
    kind = "missing-library"
    message = "The library {name} is not installed"
    hint = "Install it with: {command}"


class WorkerDied(EngineError):
    kind = "worker-died"
    message = "The engine died {times} times while making this image"
    hint = "It was set aside so that the rest could go on. Look at the settings, then `commonart queue retry`."


class EngineStopped(EngineError):
    kind = "engine-stopped"
    message = "The engine stopped unexpectedly: {why}"
    hint = "Nothing that was finished is lost. Go on with `commonart queue run --resume`."


class NoDisplay(CommonArtError):
    kind = "no-display"
    message = "The window cannot open: {why}"
    hint = "Start it in a graphical session. Every other command works without one: `commonart --help`."


class FeatureMissing(UsageError):
    kind = "feature-missing"
    message = "{what} is not possible here: {why}"


class ProtocolError(CommonArtError):
    kind = "protocol"
    message = "A line between the program and its engine cannot be read: {why}"
