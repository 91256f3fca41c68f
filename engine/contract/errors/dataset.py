"""Data sets and the licence gate."""

from __future__ import annotations

from engine.contract.errors.base import CommonArtError, UsageError


class NotUtf8(UsageError):
    kind = "not-utf8"
    message = "{path} is not UTF-8 text: {why}"
    hint = "Save it again as UTF-8, or import it with --encoding cp932 (Shift JIS)."


class BadPicture(UsageError):
    kind = "bad-picture"
    exit_status = 1
    message = "{path} cannot be used as an image: {why}"


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
        "Give a local folder of Florence-2, BLIP-2, LLaVA or Qwen2-VL as safetensors, in the form that transformers "
        "loads without code of its own "
        "(such as florence-community/Florence-2-base or Qwen/Qwen2-VL-2B-Instruct), with --model."
    )
