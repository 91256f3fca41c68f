"""The root of the error tree, its four main branches, and how an error crosses a process boundary."""

from __future__ import annotations

import errno
from typing import Any, ClassVar


class Phrase(str):
    """A part of a sentence that can be translated: an English template and its fields."""

    template: str
    fields: dict[str, Any]

    def __new__(cls, template: str, /, **fields: Any) -> Phrase:
        self = super().__new__(cls, template.format(**fields) if fields else template)
        self.template, self.fields = template, fields
        return self


def system_words(error: OSError) -> str:
    """The operating system's message, as a translatable phrase where it is a common one."""
    messages: dict[int, str] = {
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
    return messages.get(error.errno or 0) or error.strerror or str(error)


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
    """The root. ``exit_status`` is the command's: 2 for a request that cannot be met as written, 1 for what failed."""

    kind: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    message: ClassVar[str] = "{why}"
    hint: ClassVar[str] = ""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        super().__init__(self.message.format(**fields))

    @property
    def advice(self) -> str:
        """The hint with its fields filled in; empty where there is none."""
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


class UsageError(CommonArtError):
    kind = "usage"
    exit_status = 2


class ModelError(CommonArtError):
    kind = "model"


class EngineError(CommonArtError):
    kind = "engine"


class OutputError(CommonArtError):
    kind = "output"


def tree(root: type[CommonArtError] = CommonArtError) -> dict[str, type[CommonArtError]]:
    """kind -> class, of ``root`` and all below it."""
    kinds = {root.kind: root}
    for child in root.__subclasses__():
        kinds |= tree(child)
    return kinds


def from_wire(data: dict[str, Any]) -> CommonArtError:
    """Rebuild an error sent by ``to_wire``; a kind unknown here becomes the root with the same sentence."""
    fields = {k: _unpacked(v) for k, v in data.get("fields", {}).items()}
    cls = tree().get(data.get("kind", ""), CommonArtError)
    try:
        return cls(**fields)
    except (KeyError, IndexError):
        return CommonArtError(why=data.get("message", "?"))
