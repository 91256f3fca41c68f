"""What a file is that should be safetensors and is not, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from engine.contract.errors import BrokenWeights, NotSafetensors, Phrase

LOOK = 4096  # bytes of a file's beginning that are enough to tell
PICKLES = (".bin", ".pth", ".pt", ".ckpt", ".pkl")
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"(\xb5/\xfd")


def wrong_kind(path: Path) -> BrokenWeights:
    """The error for a file whose header is not that of safetensors, naming what it is where that can be seen.

    Raises:
        OSError
    """
    with path.open("rb") as f:
        head = f.read(LOOK)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = text[:200].lower()
    if not head:
        return _error(path, Phrase("it is empty"), Phrase("Fetch or copy that file again."))
    if text.startswith((b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")):
        return _error(
            path,
            Phrase("it is a Git LFS pointer, a few lines of text that stand for the real file"),
            Phrase("Fetch the file itself with {command}, or download it from its page.", command="git lfs pull"),
        )
    if lower.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml", b"<!--", b"<script")):
        return _error(
            path,
            Phrase("it is a web page, perhaps one that asks to sign in or reports an error"),
            Phrase("Download the file again, signed in if its site asks for that."),
        )
    if _pickle(path, head):
        return _error(
            path,
            Phrase("it is a pickle, PyTorch's older format, which can run a program when it is opened"),
            Phrase(
                "Turn it into safetensors first: {command}. Or ask its author for safetensors.",
                command=f"commonart models convert {path}",
            ),
        )
    if head.startswith((b"PK\x03\x04", *_ARCHIVES)) or head[257:262] == b"ustar":
        return _error(
            path,
            Phrase("it is a packed archive"),
            Phrase("Unpack it and give the .safetensors file that is in it."),
        )
    if head.startswith(b"GGUF"):
        return _error(path, Phrase("it is a GGUF file"), Phrase("Get the same weights as safetensors."))
    if text.startswith((b"{", b"[")):
        return _error(
            path,
            Phrase("it is a JSON text, such as a server's answer to a download that failed"),
            Phrase("Download the file again, signed in if its site asks for that."),
        )
    return BrokenWeights(path=path, why=Phrase("it is not a safetensors file, or its head is cut off"))


def _error(path: Path, why: Phrase, remedy: Phrase) -> NotSafetensors:
    return NotSafetensors(path=path, why=why, remedy=remedy)


def _pickle(path: Path, head: bytes) -> bool:
    """A pickle by itself (protocol 2 to 5), or the ZIP archive in which torch.save puts one."""
    if head.startswith(b"PK\x03\x04"):
        return b"data.pkl" in head or path.suffix.lower() in PICKLES
    # of a safetensors file these bytes are a header's length, whose upper half is zero
    return len(head) > 8 and head[0] == 0x80 and 2 <= head[1] <= 5 and head[4:8] != b"\0\0\0\0"
