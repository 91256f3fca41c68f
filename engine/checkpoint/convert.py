"""Convert pickled PyTorch weights into safetensors files beside them.

The pickle is read in a child process that sandboxes itself first (``enter_sandbox``): it can open no socket, start no
program and write only in the destination folder. The parent names, checks and moves the finished files.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from engine.checkpoint.unpickle import read
from engine.contract.errors import BadFile, BrokenWeights, CommonArtError, DiskFull, OutputFolder, Phrase, from_wire
from engine.contract.files import rename
from engine.contract.python_process import python_command

Progress = Callable[[int, int], None]
PATTERNS = ("pytorch_model*.bin", "diffusion_pytorch_model*.bin", "*.pth", "*.pt")
# What trainers leave beside the weights, under the same suffixes.
_NOT_WEIGHTS = re.compile(r"(optimizer|scheduler|rng_state|random_states|training_args|scaler)", re.IGNORECASE)
_INDEX = re.compile(r"(diffusion_)?pytorch_model\.bin\.index(\.[\w-]+)?\.json")
_HEADER_CAP = 100 << 20  # bytes; what the safetensors library itself accepts


class _Set(NamedTuple):
    """Files that form a model only together: shards and their list (``table``), or a single file without one."""

    files: list[tuple[Path, Path]]
    table: Path | None = None


# the parent -------------------------------------------------------------------------------------------------------


def convert(
    folder_or_file: Path, out: Path | None = None, *, progress: Progress | None = None, keep: bool = True
) -> list[Path]:
    """Convert the pickled weights of one folder (not of its subfolders), or one file; returns the files written.

    ``out`` is the destination folder (created if needed), by default the originals' own. ``progress(done, total)``
    counts bytes of the originals. A destination that exists is never overwritten: it is skipped, or, with ``keep`` off,
    refused with BadFile before anything is written. Originals stay. Sets of shards appear completely or not at all.

    Raises BadFile, PickleRefused, BrokenWeights, OutputFolder, DiskFull.
    """
    source = Path(folder_or_file).resolve()
    target = (source if source.is_dir() else source.parent) if out is None else Path(out).resolve()
    sets = _sets(source, target)
    wanted = [file for group in sets for file in group.files]
    outputs = [path for _, path in wanted] + [target / _safe_name(group.table.name) for group in sets if group.table]
    for output in outputs:
        if outputs.count(output) > 1:
            raise BadFile(path=str(source), why=Phrase("several of its files would become {name}", name=output.name))
        if output.exists() and not keep:
            raise BadFile(path=str(output), why=Phrase("it exists already and is not overwritten"))
    with _writing(target):
        target.mkdir(parents=True, exist_ok=True)
    done, total, written = 0, sum(path.stat().st_size for path, _ in wanted), []
    for group in sets:
        todo = [(path, output) for path, output in group.files if not output.exists()]
        sizes = [path.stat().st_size for path, _ in todo]
        done += sum(path.stat().st_size for path, _ in group.files) - sum(sizes)
        # Shards hold nothing but weights, so that their sizes suffice; for a single file the child checks exactly.
        if group.table and shutil.disk_usage(target).free < sum(sizes):
            raise DiskFull(path=str(target))
        parts: list[tuple[Path, Path]] = []
        try:
            for (path, output), size in zip(todo, sizes, strict=True):
                parts.append((_part(output), output))
                _in_child(
                    path,
                    parts[-1][0],
                    lambda share, at=done, size=size: (  # type: ignore[misc]
                        progress(at + int(share * size), total) if progress else None
                    ),
                )
                done += size
            if group.table and not (index := target / _safe_name(group.table.name)).exists():
                names = {output: part for part, output in parts}
                parts.append((_part(index), index))
                _write_index(parts[-1][0], {output.name: names.get(output, output) for _, output in group.files})
            with _writing(target):
                for part, output in parts:
                    if not output.exists():  # another process's, written meanwhile
                        rename(part, output, overwrite=True)
                        written.append(output)
        finally:
            for part, _ in parts:
                part.unlink(missing_ok=True)
    return written


def _safe_name(name: str) -> str:
    """``pytorch_model-00001-of-00002.bin`` -> ``model-00001-of-00002.safetensors``, and the like for indices."""
    name = re.sub(r"^pytorch_model(?=[.-])", "model", name)
    return (
        name.replace(".bin.index", ".safetensors.index")
        if name.endswith(".json")
        else name[: name.rindex(".")] + ".safetensors"
    )


def _sets(source: Path, target: Path) -> list[_Set]:
    if source.is_file():
        if source.suffix not in (".bin", ".pth", ".pt"):
            raise BadFile(path=str(source), why=Phrase("it is no pickled weights file (.bin, .pth, .pt)"))
        return [_Set([(source, target / _safe_name(source.name))])]
    if not source.is_dir():
        raise BadFile(path=str(source), why=Phrase("there is no such file or folder"))
    sets, seen = [], set()
    for index in sorted(path for path in source.iterdir() if _INDEX.fullmatch(path.name)):
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BrokenWeights(path=str(index), why=Phrase("it is not a list of shards")) from error
        for name in names:
            if not re.fullmatch(r"[\w.-]+\.bin", name) or not (source / name).is_file():
                raise BrokenWeights(path=str(index), why=Phrase("its shard {name} is missing", name=ascii(name)))
        sets.append(_Set([(source / name, target / _safe_name(name)) for name in names], index))
        seen.update(names)
    singles = sorted(
        {
            path
            for pattern in PATTERNS
            for path in source.glob(pattern)
            if path.is_file() and path.name not in seen and not _NOT_WEIGHTS.match(path.name)
        }
    )
    sets += [_Set([(path, target / _safe_name(path.name))]) for path in singles]
    if not sets:
        raise BadFile(path=str(source), why=Phrase("there are no pickled weights in it (.bin, .pth, .pt)"))
    return sets


def _part(output: Path) -> Path:
    return output.with_name(f".{output.name}.{secrets.token_hex(4)}.part")


def _in_child(source: Path, part: Path, on_progress: Callable[[float], None]) -> None:
    """Write ``part`` in a child process; its errors are raised here."""
    root = str(Path(__file__).resolve().parents[2])  # a checkout or site-packages
    env = {
        name: os.environ[name]
        for name in ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH")
        if name in os.environ
    }
    # What is importable here is importable there, however it came to be.
    env |= {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([root, *filter(None, sys.path)])),
        "PYTHONUTF8": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    child = subprocess.Popen(
        python_command("-B", "-m", "engine.checkpoint.convert", "--child", str(source), str(part)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        cwd=root,
        env=env,
    )
    assert child.stdout
    try:
        finished = False
        for line in child.stdout:
            if not line.endswith("\n"):  # it died while writing the line
                break
            message = json.loads(line)
            if "error" in message:
                raise from_wire(message["error"])
            finished = "finished" in message
            on_progress(1.0 if finished else message["done"] / message["total"])
        if child.wait() or not finished:
            raise BrokenWeights(
                path=str(source),
                why=Phrase("the process that read it ended with status {status}", status=child.returncode),
            )
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


def _write_index(part: Path, shards: dict[str, Path]) -> None:
    """The index over ``shards`` (final name -> its current path), from their own headers."""
    weight_map: dict[str, str] = {}
    size = 0
    for name, path in shards.items():
        try:
            with path.open("rb") as file:
                length = struct.unpack("<Q", file.read(8))[0]
                header = json.loads(file.read(min(length, _HEADER_CAP)))
            header.pop("__metadata__", None)
            size += sum(entry["data_offsets"][1] - entry["data_offsets"][0] for entry in header.values())
        except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise BrokenWeights(path=str(path), why=Phrase("its header cannot be read")) from error
        weight_map |= dict.fromkeys(header, name)
    text = json.dumps({"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}, indent=2)
    with _writing(part.parent), part.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise DiskFull(path=str(folder)) from error
        raise OutputFolder(
            path=str(folder), why=Phrase("the system says: {text}", text=error.strerror or error)
        ) from error


# the child --------------------------------------------------------------------------------------------------------


_FORBIDDEN = (
    "socket.",
    "subprocess.",
    "ctypes.",
    "winreg.",
    "_winapi.CreateProcess",
    "os.exec",
    "os.system",
    "os.spawn",
    "os.posix_spawn",
    "os.startfile",
    "os.fork",
    "os.kill",
    "pty.",
)
_TOUCHING = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.utime",
    "os.setxattr",
    "os.removexattr",
    "shutil.",
)
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def enter_sandbox(folder: Path) -> None:
    """From now on this process opens no socket, starts no program and writes only in ``folder``; this is irreversible.

    Forbidden operations raise PermissionError. This is a second barrier: the first is that the unpickler runs nothing.
    """
    if hasattr(os, "unshare"):  # Linux, Python 3.12 on; needs a privilege that is mostly missing
        try:
            os.unshare(os.CLONE_NEWNET)  # type: ignore[attr-defined]  # mypy checks for Python 3.11
        except OSError:
            pass
    home = os.path.normcase(os.path.join(os.path.realpath(folder), ""))

    def inside(path: Any) -> bool:
        return os.path.normcase(os.path.realpath(os.fsdecode(path))).startswith(home)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            writing = set(mode or "") & set("wax+") or (flags or 0) & _WRITE_FLAGS
            refused = writing and not isinstance(path, int) and not inside(path)
        elif event.startswith(_TOUCHING):
            refused = not all(inside(arg) for arg in args if isinstance(arg, (str, bytes, os.PathLike)))
        else:
            refused = event.startswith(_FORBIDDEN)
        if refused:
            raise PermissionError(errno.EPERM, f"refused: {event}")

    sys.addaudithook(hook)


def write(source: Path, part: Path, on_progress: Progress) -> None:
    """Read the pickled ``source`` and write it as the new file ``part``, a tensor at a time.

    ``on_progress`` gets bytes.

    Nothing stays of ``part`` on failure. Raises PickleRefused, BrokenWeights, BadFile, DiskFull, OutputFolder.
    """
    tensors, _, storages = read(source)
    with storages:
        # Widest first, so that every tensor is aligned to its element.
        order = sorted(tensors.items(), key=lambda item: -item[1].dtype.size)
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        total = 0
        for name, tensor in order:
            if name == "__metadata__" or not name.isprintable():
                raise BrokenWeights(path=str(source), why=Phrase("it has a tensor with an impossible name"))
            header[name] = {
                "dtype": tensor.dtype.name,
                "shape": list(tensor.shape),
                "data_offsets": [total, total + tensor.nbytes],
            }
            total += tensor.nbytes
        head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        head += b" " * (-len(head) % 8)
        if len(head) > _HEADER_CAP:
            raise BrokenWeights(path=str(source), why=Phrase("its list of tensors is too long"))
        if shutil.disk_usage(part.parent).free < 8 + len(head) + total:
            raise DiskFull(path=str(part.parent))
        try:
            with _writing(part.parent), part.open("xb") as file:
                file.write(struct.pack("<Q", len(head)) + head)
                done = 0
                for _, tensor in order:
                    file.write(storages.contiguous(tensor))
                    done += tensor.nbytes
                    on_progress(done, max(total, 1))
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _child(source: Path, part: Path) -> int:
    def report(**message: Any) -> None:
        print(json.dumps(message), flush=True)

    enter_sandbox(part.parent)
    try:
        write(source, part, lambda done, total: report(done=done, total=total))
    except CommonArtError as error:
        report(error=error.to_wire())
        return 1
    except MemoryError:
        why = Phrase("reading it takes more memory than there is")
        report(error=BrokenWeights(path=str(source), why=why).to_wire())
        return 1
    report(finished=True)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] != "--child":
        sys.exit("python -m engine.checkpoint.convert --child SRC DST is for the engine's own use")
    sys.exit(_child(Path(sys.argv[2]), Path(sys.argv[3])))
