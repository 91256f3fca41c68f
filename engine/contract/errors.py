"""Every error a person can meet, in one tree.

An error is a kind, a sentence of what happened and why, and a hint of what to do. Sentences are templates over named
fields, so that they cross a process boundary as data and are told in the reader's language at the edge
(``commonart_desktop.core.sentences``).
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar


class Phrase(str):
    """A part of a sentence that can be told in another language: an English template and its fields."""

    template: str
    fields: dict[str, Any]

    def __new__(cls, template: str, /, **fields: Any) -> Phrase:
        self = super().__new__(cls, template.format(**fields) if fields else template)
        self.template, self.fields = template, fields
        return self


def system_words(error: OSError) -> str:
    """What the system says, as a phrase where it is one that people meet."""
    said: dict[int, str] = {
        errno.ENOENT: Phrase("there is no such file or folder"),
        errno.EACCES: Phrase("it is not permitted"),
        errno.EPERM: Phrase("it is not permitted"),
        errno.EROFS: Phrase("the disk can only be read"),
        errno.ENOTDIR: Phrase("a part of its path is not a folder"),
        errno.EISDIR: Phrase("it is a folder"),
        errno.EIO: Phrase("the disk reports an error"),
        errno.ENAMETOOLONG: Phrase("its path is too long"),
        errno.EEXIST: Phrase("it exists already and is not overwritten"),
        errno.ENOSPC: Phrase("the disk is full"),
    }
    if getattr(error, "winerror", None) in (32, 33):  # sharing and lock violation
        return Phrase("another program has it open")
    return said.get(error.errno or 0) or error.strerror or str(error)


def _packed(value: Any) -> Any:
    """A field as JSON: a phrase keeps its template, however deep."""
    if isinstance(value, Phrase):
        return {"template": value.template, "fields": {k: _packed(v) for k, v in value.fields.items()}}
    return value if isinstance(value, (int, float)) else str(value)


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        return Phrase(value["template"], **{k: _unpacked(v) for k, v in value["fields"].items()})
    return value


class CommonArtError(Exception):
    """The root. ``exit_status`` is the command's: 2 for what the user asked wrongly, 1 for what failed."""

    kind: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    message: ClassVar[str] = "{why}"
    hint: ClassVar[str] = ""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        super().__init__(self.message.format(**fields))

    @property
    def advice(self) -> str:
        """The hint, filled in; empty where there is none."""
        return self.hint.format(**self.fields)

    def __reduce__(self) -> tuple[Any, ...]:
        return from_wire, (self.to_wire(),)

    def to_wire(self) -> dict[str, Any]:
        """JSON-ready: what ``from_wire`` rebuilds on the other side."""
        return {
            "kind": self.kind,
            "message": str(self),
            "hint": self.advice,
            "fields": {k: _packed(v) for k, v in self.fields.items()},
        }


# what the user asked for ------------------------------------------------------------------------------------------


class UsageError(CommonArtError):
    kind = "usage"
    exit_status = 2


class UnknownCommand(UsageError):
    kind = "unknown-command"
    message = "There is no command {name!r}: {why}"
    hint = "`{prog} --help` lists the commands."


class BadValue(UsageError):
    kind = "bad-value"
    message = "{name} cannot be {value}: {why}"


class BadTemplate(UsageError):
    kind = "bad-template"
    message = "The template {template!r} cannot be used: {why}"


class BadFile(UsageError):
    kind = "bad-file"
    message = "{path} cannot be read: {why}"


class BadSettings(BadFile):
    kind = "bad-settings"
    message = "{path}, line {line}, column {column}: {why}"
    hint = "Correct that line in a text editor."


class BackslashInSettings(BadSettings):
    kind = "backslash-in-settings"
    hint = "Write a path with / or in single quotes, such as: {example}"


class BadRow(UsageError):
    kind = "bad-row"
    message = "{path}, line {line}: {why}"
    hint = "Correct that line; nothing was added."


class NoRecipe(UsageError):
    kind = "no-recipe"
    message = "{path} carries no CommonArt recipe"
    hint = "Only pictures made by this program can be made again; give the prompt and settings yourself."


class UnknownModel(UsageError):
    kind = "unknown-model"
    message = "There is no model {name!r}"
    hint = "Give a folder, or one of: {known}. `commonart models list` shows where they lie."


class NotAModel(UsageError):
    kind = "not-a-model"
    message = "{path} is not a model folder: {why}"
    hint = "Point at a diffusers pipeline folder (model_index.json) or a PixArt denoiser (config.json and safetensors)."


class MissingPart(UsageError):
    kind = "missing-part"
    message = "{path} has no {part}"
    hint = "Give its folder once with {option}; it is remembered for this model."


class UnknownJob(UsageError):
    kind = "unknown-job"
    message = "There is no job {job!r} in the queue"
    hint = "`commonart queue list` shows them."


class NotEditable(UsageError):
    kind = "not-editable"
    message = "Job {job} has no waiting picture that could be changed"
    hint = "Only pictures that are still waiting can be edited; `commonart queue retry` puts failed ones back."


class AfterCrash(UsageError):
    kind = "after-crash"
    exit_status = 1
    message = "The last run stopped in the middle of {count} picture(s)"
    hint = "Nothing is lost. Go on with `commonart queue run --resume`."


# models -----------------------------------------------------------------------------------------------------------


class ModelError(CommonArtError):
    kind = "model"


class BrokenWeights(ModelError):
    kind = "broken-weights"
    message = "{path} is damaged: {why}"
    hint = "Fetch or copy that file again; `commonart models verify` checks a whole model."


class NotSafetensors(BrokenWeights):
    kind = "not-safetensors"
    message = "{path} is not a safetensors file: {why}"
    hint = "{remedy}"


class WrongShape(ModelError):
    kind = "wrong-shape"
    message = "{path} does not fit its config.json: {tensor} is {found}, expected {expected}"
    hint = "The config and the weights come from different models; fetch both from one place."


class WrongTokenizer(ModelError):
    kind = "wrong-tokenizer"
    message = "The tokenizer in {path} does not fit the text encoder: {why}"
    hint = "Use the tokenizer that came with the text encoder."


class UnknownLora(UsageError):
    kind = "unknown-lora"
    message = "There is no LoRA {name!r}"
    hint = "Give a .safetensors file, or the name of one in {folder}: {known}."


class AmbiguousLora(UsageError):
    kind = "ambiguous-lora"
    message = "{count} LoRAs are called {name!r}"
    hint = "Give the one that is meant: {known}."


class UnsupportedAdapter(ModelError):
    kind = "unsupported-adapter"
    message = "The adapter {path} cannot be used: {why}"
    hint = "What can be used are safetensors files of LoRA, LoHa, LoKr and DoRA for PixArt transformers."


class LoraForOther(ModelError):
    kind = "lora-for-other"
    message = "The LoRA {path} does not fit this model: {why}"
    hint = "It was made for another base model; choose that one, or another LoRA."


class NeedsConversion(ModelError):
    kind = "needs-conversion"
    message = "{path} holds pickled weights ({names}), which this program never loads"
    hint = "Turn them into safetensors first: commonart models convert {path}"


class PickleRefused(ModelError):
    kind = "pickle-refused"
    message = "{path} asks for {what}, which no weights file needs; it was refused and nothing in it was run"
    hint = "Do not trust this file. Get the model from its author as safetensors."


class UnknownSampler(UsageError):
    kind = "unknown-sampler"
    message = "There is no sampler {name!r}"
    hint = "Choose one of: {known}."


class NoNetwork(ModelError):
    kind = "no-network"
    message = "{endpoint} cannot be reached: {why}"
    hint = "Check the connection, or give a proxy or another address. A model can also be copied here as a folder."


class NotOnHub(UsageError):
    kind = "not-on-hub"
    message = "{endpoint} has no {what} that may be fetched"
    hint = "Check the spelling. A model that asks for consent is fetched after `hf auth login`."


class BrokenDownload(ModelError):
    kind = "broken-download"
    message = "{file} did not come from {endpoint} as it should: {why}"
    hint = "It was not kept. Try again; if it happens again, do not trust that source."


# making pictures --------------------------------------------------------------------------------------------------


class EngineError(CommonArtError):
    kind = "engine"


class OutOfMemory(EngineError):
    kind = "out-of-memory"
    message = "There was not enough memory on {device} for one picture of {width}x{height}"
    hint = "Choose a smaller size, a smaller dtype (--dtype bf16) or another device, or close other programs."


class NotFinite(EngineError):
    kind = "not-finite"
    message = "The picture came out as not-a-number in {dtype}"
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
    message = "The engine died {times} times while making this picture"
    hint = "It was set aside so that the rest could go on. Look at the settings, then `commonart queue retry`."


class EngineStopped(EngineError):
    kind = "engine-stopped"
    message = "The engine stopped unexpectedly: {why}"
    hint = "Nothing that was finished is lost. Go on with `commonart queue run --resume`."


# files ------------------------------------------------------------------------------------------------------------


class OutputError(CommonArtError):
    kind = "output"


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
    hint = "Free some space, then go on; finished pictures are safe."


# the queue --------------------------------------------------------------------------------------------------------


class LedgerError(CommonArtError):
    kind = "ledger"


class LedgerNewer(LedgerError):
    kind = "ledger-newer"
    message = "The queue {path} was written by a newer version of this program (schema {found}, known {known})"
    hint = "Update CommonArt Desktop, or set COMMONART_HOME to another folder."


class LedgerUnwritable(LedgerError):
    kind = "ledger-unwritable"
    message = "The queue {path} cannot be written: {why}"
    hint = "Make its folder writable, or set COMMONART_HOME to another folder."


class LedgerCorrupt(LedgerError):
    kind = "ledger-corrupt"
    message = "The queue {path} is damaged and cannot be read"
    hint = "Try again: the damaged file is then kept aside and every readable row is saved."


class LedgerLocked(LedgerError):
    kind = "ledger-locked"
    message = "The queue {path} is being held by another program"
    hint = "Wait a moment or close the other program, then try again."


class NoDisplay(CommonArtError):
    kind = "no-display"
    message = "The window cannot open: {why}"
    hint = "Start it in a graphical session. Every other command works without one: `commonart --help`."


class FeatureMissing(UsageError):
    kind = "feature-missing"
    message = "{what} is not possible here: {why}"


# pictures to learn from -------------------------------------------------------------------------------------------


class NotUtf8(UsageError):
    kind = "not-utf8"
    message = "{path} is not UTF-8 text: {why}"
    hint = "Save it again as UTF-8, or import it with --encoding cp932 (Shift JIS)."


class BadPicture(UsageError):
    kind = "bad-picture"
    exit_status = 1
    message = "{path} cannot be used as a picture: {why}"


class NoRecords(UsageError):
    kind = "no-records"
    message = "{path} has no metadata.jsonl"
    hint = "Make a dataset folder first: commonart dataset import NEW_FOLDER --from {path}"


class BadPolicy(UsageError):
    kind = "bad-policy"
    message = "The policy {path} cannot be used: {why}"
    hint = "Give commercial, noncommercial or a TOML file; docs/datasets.md has an example."


class NoLicence(UsageError):
    kind = "no-licence"
    message = "No licence is given for {path}"
    hint = "Say it with --license, such as CC0-1.0, CC-BY-4.0 or LicenseRef-Own; it is never guessed."


class UnknownImport(UsageError):
    kind = "unknown-import"
    message = "{path} cannot be imported: {why}"
    hint = "Say how it is written with --format, one of: {known}."


class UnsafeArchive(UsageError):
    kind = "unsafe-archive"
    exit_status = 1
    message = "{path} is refused: {why}"
    hint = "Nothing was imported. Do not trust this archive; get it again from its maker."


class GateClosed(CommonArtError):
    kind = "gate-closed"
    message = "The licence check of {path} found {count} reason(s) to refuse, the first in {file}: {why}"
    hint = "`commonart dataset check {path}` lists them all."


class NoCaptioner(UsageError):
    kind = "no-captioner"
    message = "{path} cannot write captions: {why}"
    hint = (
        "Give a local folder of Florence-2, BLIP-2, LLaVA or Qwen2-VL as safetensors, in the form that transformers loads without code of its own "
        "(such as florence-community/Florence-2-base or Qwen/Qwen2-VL-2B-Instruct), with --model."
    )


# signed pictures --------------------------------------------------------------------------------------------------


class SigningFailed(CommonArtError):
    kind = "signing"
    message = "Pictures cannot be signed: {why}"
    hint = "They are saved all the same, unsigned. Set the key right, or turn signing off in the settings or with --no-sign."


class BadCertificate(UsageError):
    kind = "bad-certificate"
    message = "The certificate {path} cannot sign pictures: {why}"
    hint = (
        "It takes a PEM file with the signer's certificate first and its issuers after it, valid today and meant for signing, and its private key "
        "in a PEM file without a password."
    )


class PromptHidden(UsageError):
    kind = "prompt-hidden"
    message = "{path} holds its prompt only as a hash, so it cannot be made again from the file alone"
    hint = "Give the prompt yourself; the other settings can be read with `commonart show`."


# training ---------------------------------------------------------------------------------------------------------


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
    hint = "Lower optimiser.lr, use device.dtype fp32 (or bf16 instead of fp16), or look for odd pictures; the checkpoints before it are kept."


class TrainingMemory(EngineError):
    kind = "training-memory"
    message = "There was not enough memory on {device} for one picture of {width}x{height}"
    hint = "Set device.checkpointing = true, lower data.resolution or lora.rank, use device.dtype bf16, or close other programs."


class NoRoom(OutputError):
    kind = "no-room"
    message = "The disk of {path} has {free} MB left, a checkpoint needs {need} MB"
    hint = "Free some space, then go on with --resume; the last checkpoint is whole."


# export to ONNX ---------------------------------------------------------------------------------------------------


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


# evaluation and copy check ----------------------------------------------------------------------------------------


class BadEncoder(UsageError):
    kind = "bad-encoder"
    message = "{path} cannot be used as an encoder: {why}"
    hint = "docs/evaluation.md lists what an encoder's folder holds; nothing is fetched from the network."


class TooFewToCompare(UsageError):
    kind = "too-few-to-compare"
    message = "{path} holds {count} picture(s) that can be read; KID and CMMD need at least {least}, FID {least_fid}"
    hint = "Give a folder of more pictures, or leave --reference out."


class NothingToEvaluate(UsageError):
    kind = "nothing-to-evaluate"
    message = "There is nothing to draw: {why}"
    hint = "Give prompts with --prompts: a .txt, .csv or .jsonl file, captions of COCO's form, or a dataset folder."


class RecipesDiffer(UsageError):
    kind = "recipes-differ"
    message = "The two cannot be compared, since they were not made by the same recipe: {what}"
    hint = "Evaluate both with the same prompts, seed, steps, sampler, sizes, encoders and reference; only model and LoRAs may differ."


class ScoreFailed(CommonArtError):
    kind = "score"
    message = "Pictures cannot be given a safety score: {why}"
    hint = "They are saved all the same. Install it with: pip install 'commonart-desktop[safety]', or turn the score off in the settings."


class NothingToCheck(UsageError):
    kind = "nothing-to-check"
    message = "There is no picture to check: {why}"
    hint = "Give pictures or folders of pictures (PNG, JPEG, WebP), or --extract MODEL."


# the queue and the training ---------------------------------------------------------------------------------------


class QueueHeld(EngineError):
    kind = "queue-held"
    message = "The queue waits until the training “{name}” ends"
    hint = "Go on with the queue to make pictures beside it; both then take longer and share the memory."


# training on several processes and machines -----------------------------------------------------------------------


class ProcessLost(EngineError):
    kind = "process-lost"
    message = "Process {number} of {count} on {host} has ended, and the training with it: {why}"
    hint = "Everything up to the last checkpoint is safe. When the cause is mended, go on with --resume, on as many processes as you like."


class MachinesDiffer(UsageError):
    kind = "machines-differ"
    message = "{host} has not the same {what} as {first}"
    hint = "Copy the dataset folders and the model to every machine unchanged, or use a folder that all share."


class BadAccelerate(UsageError):
    kind = "bad-accelerate"
    message = "{path} cannot be used to start the training: {why}"
    hint = "docs/cluster.md lists the files that come with the program and what each is for."


# several machines -------------------------------------------------------------------------------------------------


class NoCluster(EngineError):
    kind = "no-cluster"
    message = "The cluster at {address} does not answer: {why}"
    hint = (
        "Check the address and that `ray start` runs there and on this machine; docs/cluster.md says how. Nothing was lost: without --ray the queue "
        "runs here."
    )


class ClusterVersions(EngineError):
    kind = "cluster-versions"
    message = "{node} has {what} {found}, this machine {wanted}"
    hint = "Install the same versions everywhere; the other machines go on without it."


class NodeRefused(EngineError):
    kind = "node-refused"
    message = "{node} cannot make pictures: {why}"
    hint = "The other machines go on. Mend that one and start Ray on it again; it is then used by itself."


class NodeDiskFull(EngineError):
    kind = "node-disk-full"
    message = "The disk of {node} has no room for the model ({need} MB)"
    hint = "The other machines go on. Free some space there, or put the model where that machine can read it."


class NodeLost(EngineError):
    kind = "node-lost"
    message = "{node} has gone; what it had in hand waits again"
    hint = "Nothing was lost. If it comes back it is used by itself."


def tree(root: type[CommonArtError] = CommonArtError) -> dict[str, type[CommonArtError]]:
    """kind -> class of the whole tree."""
    found = {root.kind: root}
    for child in root.__subclasses__():
        found |= tree(child)
    return found


def from_wire(data: dict[str, Any]) -> CommonArtError:
    """Rebuild an error sent by ``to_wire``; a kind unknown here becomes the root with the same sentence."""
    fields = {k: _unpacked(v) for k, v in data.get("fields", {}).items()}
    cls = tree().get(data.get("kind", ""), CommonArtError)
    try:
        return cls(**fields)
    except (KeyError, IndexError):
        return CommonArtError(why=data.get("message", "?"))
