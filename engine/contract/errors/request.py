"""What the user asked for."""

from __future__ import annotations

from engine.contract.errors.base import UsageError


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
    hint = "Only images made by this program can be made again; give the prompt and settings yourself."


class UnknownSampler(UsageError):
    kind = "unknown-sampler"
    message = "There is no sampler {name!r}"
    hint = "Choose one of: {known}."


class PromptHidden(UsageError):
    kind = "prompt-hidden"
    message = "{path} holds its prompt only as a hash, so it cannot be made again from the file alone"
    hint = "Give the prompt yourself; the other settings can be read with `commonart show`."
