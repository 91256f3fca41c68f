"""The queue."""

from __future__ import annotations

from engine.contract.errors.base import CommonArtError, EngineError, UsageError


class UnknownJob(UsageError):
    kind = "unknown-job"
    message = "There is no job {job!r} in the queue"
    hint = "`commonart queue list` shows them."


class NotEditable(UsageError):
    kind = "not-editable"
    message = "Job {job} has no waiting image that could be changed"
    hint = "Only images that are still waiting can be edited; `commonart queue retry` puts failed ones back."


class AfterCrash(UsageError):
    kind = "after-crash"
    exit_status = 1
    message = "The last run stopped in the middle of {count} image(s)"
    hint = "Nothing is lost. Go on with `commonart queue run --resume`."


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


class QueueHeld(EngineError):
    kind = "queue-held"
    message = "The queue waits until the training “{name}” ends"
    hint = "Go on with the queue to make images beside it; both then take longer and share the memory."
