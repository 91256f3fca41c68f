"""Reading pickled PyTorch weights without PyTorch and without running anything the file asks for.

A weights file is a pickle (what tensors there are) beside raw storages (their numbers). The pickle is scanned opcode by
opcode, then loaded with a short list of admitted names, each of which maps to an inert object of this module.
"""

from __future__ import annotations

import functools
import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, NoReturn, Self, cast

import numpy as np

from engine.contract.errors import BadFile, BrokenWeights, CommonArtError, Phrase, PickleRefused

PICKLE_CAP = 256 << 20  # bytes of one pickle; a model of ten thousand tensors takes a few MB
OVERLAP_CAP = 64 << 20  # bytes a tensor may have beyond its storage (expanded buffers are small)
RANK_CAP = 32  # what numpy 1 can stride over
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# Where training scripts put their weights, best first; without any of them the top level is the state dict.
NESTS = ("state_dict_ema", "ema", "state_dict", "model", "module")


class _Refused(Exception):
    """Something outside the admitted list was asked for; ``read`` adds the path."""


class _Broken(Exception):
    """The file contradicts itself, ``args[0]`` is the Phrase; ``read`` adds the path."""


def _no_state(self: Any, state: Any) -> NoReturn:
    raise _Refused("BUILD")


def _sealed(cls: type) -> type:
    """Make BUILD refuse. Set from outside: a frozen dataclass with slots gets a __setstate__ that writes its fields."""
    cls.__setstate__ = _no_state  # type: ignore[attr-defined]
    return cls


@_sealed
@dataclass(frozen=True, slots=True)
class Dtype:
    """A number type: its safetensors name and its bytes per element."""

    name: str
    size: int


@_sealed
@dataclass(frozen=True, slots=True)
class Storage:
    """A run of ``count`` values in the file, identified by ``key``."""

    dtype: Dtype
    key: str
    count: int

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.size


@_sealed
@dataclass(frozen=True, slots=True)
class LazyTensor:
    """A tensor as the pickle describes it; ``stride`` and ``offset`` are in elements of the storage."""

    dtype: Dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: Storage

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.size


class _Function:
    """What the pickle may call. A slotted object, not a function: BUILD could set a function's ``__defaults__``."""

    __slots__ = ("make",)
    __setstate__ = _no_state

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    def __call__(self, *args: Any) -> Any:
        return self.make(*args)


class _Dict(dict[Any, Any]):
    """An OrderedDict of the file. Its state (``_metadata`` of a state dict) is dropped."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


def _ints(value: Any) -> bool:
    return type(value) is tuple and all(type(v) is int and 0 <= v < 1 << 62 for v in value)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> LazyTensor:
    if (
        not isinstance(storage, Storage)
        or not _ints((offset,))
        or not _ints(shape)
        or not _ints(stride)
        or len(shape) != len(stride)
        or len(shape) > RANK_CAP
    ):
        raise _Broken(Phrase("it describes a tensor that makes no sense"))
    tensor = LazyTensor(storage.dtype, shape, stride, offset, storage)
    reach = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) + 1
    if (tensor.count and reach > storage.count) or tensor.nbytes > storage.nbytes + OVERLAP_CAP:
        raise _Broken(Phrase("it describes a tensor larger than its data"))
    return tensor


def _parameter(data: Any, *_: Any) -> LazyTensor:
    if not isinstance(data, LazyTensor):
        raise _Broken(Phrase("it describes a tensor that makes no sense"))
    return data


def _admitted() -> dict[tuple[str, str], Any]:
    kinds = (
        ("Double", "float64", "F64", 8),
        ("Float", "float32", "F32", 4),
        ("Half", "float16", "F16", 2),
        ("BFloat16", "bfloat16", "BF16", 2),
        ("Long", "int64", "I64", 8),
        ("Int", "int32", "I32", 4),
        ("Short", "int16", "I16", 2),
        ("Char", "int8", "I8", 1),
        ("Byte", "uint8", "U8", 1),
        ("Bool", "bool", "BOOL", 1),
    )
    table: dict[tuple[str, str], Any] = {}
    for storage, dtype, name, size in kinds:
        table["torch", f"{storage}Storage"] = table["torch", dtype] = Dtype(name, size)
    table["torch.storage", "UntypedStorage"] = table["torch.storage", "TypedStorage"] = Dtype("U8", 1)
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
        table["torch._utils", name] = _Function(_tensor)
    for name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
        table["torch._utils", name] = _Function(_parameter)
    table["torch", "Size"] = _Function(lambda items=(): tuple(items))
    table["collections", "OrderedDict"] = _Function(lambda items=(): _Dict(items))
    return table


_ADMITTED = _admitted()


class Unpickler(pickle.Unpickler):
    """Loads a pickle with nothing but the admitted names; ``storages`` collects what the tensors refer to."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        # An exact look-up: a dotted name (protocol 4 walks attributes along it) is simply not in the table.
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Storage:
        if type(pid) is not tuple or len(pid) not in (5, 6) or pid[0] != "storage":
            raise _Refused(f"persistent id {pid[0] if type(pid) is tuple and pid else pid}")
        dtype, key, count = pid[1], pid[2], pid[4]
        if not isinstance(dtype, Dtype) or type(key) is not str or not _ints((count,)) or pid[5:] not in ((), (None,)):
            raise _Broken(Phrase("it describes a storage that makes no sense"))
        storage = Storage(dtype, key, count)
        if self.storages.setdefault(key, storage).nbytes != storage.nbytes:
            raise _Broken(Phrase("it describes the storage {name} twice, differently", name=_shown(key)))
        return storage


class _Capped:
    """The part of a file that pickletools reads, with a budget: a length in the pickle must not size a buffer."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.start = file, file.tell()

    def tell(self) -> int:
        return self.file.tell()

    def _left(self) -> int:
        return PICKLE_CAP - (self.tell() - self.start)

    def read(self, size: int) -> bytes:
        if size > self._left():
            raise _Broken(Phrase("its list of tensors is too long"))
        return self.file.read(size)

    def readline(self) -> bytes:
        return self.file.readline(self._left())


def _load(file: BinaryIO) -> tuple[Any, dict[str, Storage]]:
    """One pickle at the file's position, which is left behind its end."""
    start = file.tell()
    for seen, (opcode, arg, _) in enumerate(pickletools.genops(cast("IO[bytes]", _Capped(file)))):
        if opcode.name.startswith("EXT"):  # the process' registry of extensions could answer past find_class
            raise _Refused(f"opcode {opcode.name}")
        # Picklers number their memo from 0 on; the C unpickler allocates room for any number it is given.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and (arg is None or not 0 <= arg <= seen):
            raise _Broken(Phrase("its list of tensors makes no sense"))
    end = file.tell()
    file.seek(start)
    unpickler = Unpickler(file.read(end - start))
    return unpickler.load(), unpickler.storages


class Storages:
    """The raw numbers of an open file; a context manager. Not for several threads."""

    def __init__(self, path: Path, file: BinaryIO, where: dict[str, Callable[[], BinaryIO]]) -> None:
        self._path, self._file, self._where = path, file, where
        self._last: tuple[str, bytearray] = ("", bytearray())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._last = ("", bytearray())
        self._file.close()

    def _raw(self, storage: Storage) -> bytearray:
        if self._last[0] != storage.key:  # neighbours often share one; a second one is never in memory beside it
            self._last = ("", bytearray())
            room, at, source = bytearray(storage.nbytes), 0, self._where[storage.key]()
            while at < len(room):
                piece = source.read(min(8 << 20, len(room) - at))
                if not piece:
                    raise _Broken(Phrase("it ends too early"))
                room[at : at + len(piece)] = piece
                at += len(piece)
            self._last = (storage.key, room)
        return self._last[1]

    def contiguous(self, tensor: LazyTensor) -> memoryview:
        """The tensor's bytes in row order, little-endian. Raises BrokenWeights, also for a wrong checksum."""
        if not tensor.count:
            return memoryview(b"")
        with _told(self._path):
            # Unsigned integers of the same width: nothing is interpreted, so bf16 and NaN payloads pass untouched.
            flat = np.frombuffer(self._raw(tensor.storage), dtype=f"u{tensor.dtype.size}")[tensor.offset :]
            strides = tuple(s * tensor.dtype.size for s in tensor.stride)
            view = np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
            return np.ascontiguousarray(view).reshape(-1).view(np.uint8).data


class Weights(NamedTuple):
    """What ``read`` gives. ``key`` is the entry the tensors were taken from ("" for the top level)."""

    tensors: dict[str, LazyTensor]
    key: str
    storages: Storages


def _open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    return cast(BinaryIO, archive.open(member))


def _zipped(path: Path, file: BinaryIO) -> tuple[Any, dict[str, Callable[[], BinaryIO]]]:
    archive = zipfile.ZipFile(file)
    length = path.stat().st_size
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.orig_filename
        if (
            name in members
            or name != info.filename
            or name.startswith("/")
            or set(name) & set("\\:\0")
            or ".." in name.split("/")
        ):
            raise _Broken(Phrase("its part {name} has a name that makes no sense", name=_shown(name)))
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
            raise _Broken(Phrase("its part {name} is compressed or encrypted", name=_shown(name)))
        if info.header_offset + info.file_size > length:
            raise _Broken(Phrase("it ends too early"))
        members[name] = info
    tops = [name[: -len("data.pkl")] for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(tops) != 1:
        raise _Broken(Phrase("it is not a PyTorch weights file"))
    top = tops[0]
    if (order := members.get(f"{top}byteorder")) and (order.file_size > 16 or archive.read(order) != b"little"):
        raise _Broken(Phrase("its numbers are stored in big-endian order"))
    if members[f"{top}data.pkl"].file_size > PICKLE_CAP:
        raise _Broken(Phrase("its list of tensors is too long"))
    loaded, storages = _load(io.BytesIO(archive.read(members[f"{top}data.pkl"])))
    where: dict[str, Callable[[], BinaryIO]] = {}
    for key, storage in storages.items():
        member = members.get(f"{top}data/{key}")
        if member is None or member.file_size != storage.nbytes:
            raise _Broken(Phrase("its storage {name} is missing or has the wrong size", name=_shown(key)))
        where[key] = functools.partial(_open_member, archive, member)
    return loaded, where


def _legacy(path: Path, file: BinaryIO) -> tuple[Any, dict[str, Callable[[], BinaryIO]]]:
    length = path.stat().st_size
    if _load(file)[0] != LEGACY_MAGIC or _load(file)[0] != LEGACY_PROTOCOL:
        raise _Broken(Phrase("it is not a PyTorch weights file"))
    system = _load(file)[0]
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _Broken(Phrase("its numbers are stored in big-endian order"))
    loaded, storages = _load(file)
    keys = _load(file)[0]
    if type(keys) is not list or set(keys) != set(storages):
        raise _Broken(Phrase("its list of storages does not fit its tensors"))
    where: dict[str, Callable[[], BinaryIO]] = {}
    for key in keys:
        head = file.read(8)
        start = file.tell()
        if len(head) < 8 or start + storages[key].nbytes > length:
            raise _Broken(Phrase("it ends too early"))
        if struct.unpack("<q", head)[0] != storages[key].count:
            raise _Broken(Phrase("its storage {name} is missing or has the wrong size", name=_shown(key)))

        def at(start: int = start) -> BinaryIO:
            file.seek(start)
            return file

        where[key] = at
        file.seek(start + storages[key].nbytes)
    return loaded, where


def _shown(text: object) -> str:
    """A name out of a hostile file, fit for a terminal."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:120])


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn whatever a broken or hostile file provokes into an error that names it."""
    try:
        yield
    except CommonArtError:
        raise
    except _Refused as error:
        raise PickleRefused(path=str(path), what=_shown(error)) from None
    except _Broken as error:
        raise BrokenWeights(path=str(path), why=error.args[0]) from None
    except OSError as error:
        raise BadFile(path=str(path), why=Phrase("the system says: {text}", text=error.strerror or error)) from error
    except MemoryError as error:
        raise BrokenWeights(path=str(path), why=Phrase("reading it takes more memory than there is")) from error
    except Exception as error:  # the unpickler and zipfile raise nearly anything on bytes they did not expect
        raise BrokenWeights(
            path=str(path), why=Phrase("it cannot be read as PyTorch weights ({text})", text=type(error).__name__)
        ) from error


def _named(value: Any) -> dict[str, LazyTensor]:
    if not isinstance(value, dict):
        return {}
    return {k: v for k, v in value.items() if type(k) is str and isinstance(v, LazyTensor)}


def read(path: Path) -> Weights:
    """The named tensors of a ``.bin``/``.pt``/``.pth`` file; entries that are not tensors are left out.

    Raises PickleRefused (it asks for something beyond tensors), BrokenWeights, BadFile (it cannot be opened).
    """
    with _told(path):
        file = path.open("rb")
        try:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            loaded, where = (_zipped if zipped else _legacy)(path, file)
            nests = [(key, _named(loaded.get(key))) for key in NESTS] if isinstance(loaded, dict) else []
            key, tensors = next((nest for nest in nests if nest[1]), ("", _named(loaded)))
            if not tensors:
                raise _Broken(Phrase("it holds no named tensors"))
            # Every tensor is written on its own; ties repeat some, a bomb repeats one storage without end.
            if sum(t.nbytes for t in tensors.values()) > 8 * path.stat().st_size + 4 * OVERLAP_CAP:
                raise _Broken(Phrase("its tensors are far larger than the file"))
            return Weights(tensors, key, Storages(path, file, where))
        except BaseException:
            file.close()
            raise
