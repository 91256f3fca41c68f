"""Training, also on several processes and machines."""

from __future__ import annotations

from engine.contract.errors.base import EngineError, OutputError, UsageError


class BadConfig(UsageError):
    kind = "bad-config"
    message = "{path}: {key}: {why}"
    hint = "docs/training.md lists every key; nothing was started."


class RunExists(UsageError):
    kind = "run-exists"
    message = "{path} already holds a run at step {step}"
    hint = "Go on with --resume, or choose another output folder."


class RunDiffers(UsageError):
    kind = "run-differs"
    message = "The run in {path} cannot go on: {key} was {before} and is now {now}"
    hint = "Put it back, or start a new run in another output folder."


class NothingToResume(UsageError):
    kind = "nothing-to-resume"
    message = "{path} holds no checkpoint that can be used"
    hint = "Start without --resume."


class TooFewPictures(UsageError):
    kind = "too-few-pictures"
    message = "There is too little to learn from: {why}"


class TrainingDiverged(EngineError):
    kind = "training-diverged"
    message = "The loss became not-a-number again at step {step}, after going back once"
    hint = (
        "Lower optimiser.lr, use device.dtype fp32 (or bf16 instead of fp16), or look for odd images; the "
        "checkpoints before it are kept."
    )


class TrainingMemory(EngineError):
    kind = "training-memory"
    message = "There was not enough memory on {device} for one image of {width}x{height}"
    hint = (
        "Set device.checkpointing = true, lower data.resolution or lora.rank, use device.dtype bf16, or close other "
        "programs."
    )


class NoRoom(OutputError):
    kind = "no-room"
    message = "The disk of {path} has {free} MB left, a checkpoint needs {need} MB"
    hint = "Free some space, then go on with --resume; the last checkpoint is whole."


class ProcessLost(EngineError):
    kind = "process-lost"
    message = "Process {number} of {count} on {host} has ended, and the training with it: {why}"
    hint = (
        "Everything up to the last checkpoint is safe. When the cause is mended, go on with --resume, on as many "
        "processes as you like."
    )


class MachinesDiffer(UsageError):
    kind = "machines-differ"
    message = "{host} has not the same {what} as {first}"
    hint = "Copy the dataset folders and the model to every machine unchanged, or use a folder that all share."


class BadAccelerate(UsageError):
    kind = "bad-accelerate"
    message = "{path} cannot be used to start the training: {why}"
    hint = "docs/cluster.md lists the files that come with the program and what each is for."
