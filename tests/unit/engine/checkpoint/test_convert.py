"""Pickled weights become safetensors, and a pickle that asks for anything else is refused with nothing run."""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

torch = pytest.importorskip("torch")
from safetensors import safe_open
from safetensors.torch import load_file

from engine.checkpoint import convert as module
from engine.checkpoint.convert import convert, write
from engine.checkpoint.unpickle import LazyTensor, Unpickler, read
from engine.contract.errors import BadFile, BrokenWeights, CommonArtError, DiskFull, OutputFolder, PickleRefused


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    tied = torch.randn(4, 6)
    return collections.OrderedDict(
        {
            "f32": torch.randn(3, 5),
            "f16": torch.randn(7).half(),
            "bf16": torch.randn(2, 3, 4).bfloat16(),
            "i64": torch.arange(9),
            "bool": torch.tensor([True, False]),
            "tied.a": tied,
            "tied.b": tied,
            "turned": tied.t(),
            "cut": tied[1:3, ::2],
            "grown": torch.arange(3.0).expand(2, 3),
            "none": torch.zeros(0, 4),
            "scalar": torch.tensor(2.5),
            "nan": torch.tensor([float("nan"), -0.0]).bfloat16(),
            "parameter": torch.nn.Parameter(torch.randn(3)),
        }
    )


def same(path: Path, expected: dict[str, torch.Tensor]) -> None:
    found = load_file(path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape, name
        assert torch.equal(
            found[name].contiguous().reshape(-1).view(torch.uint8),
            value.detach().contiguous().reshape(-1).view(torch.uint8),
        ), name


def here(source: Path, part: Path) -> None:
    write(source, part, lambda *_: None)


@pytest.mark.parametrize("zipped", [True, False])
def test_same_values(tmp_path: Path, zipped: bool) -> None:
    state = tensors()
    state._metadata = {"": {"version": 1}}  # what Module.state_dict() carries; it arrives as a BUILD
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    seen: list[tuple[int, int]] = []
    assert convert(tmp_path, progress=lambda *at: seen.append(at)) == [tmp_path / "model.safetensors"]
    loaded = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    same(tmp_path / "model.safetensors", {k: v.detach() for k, v in loaded.items()})
    size = (tmp_path / "pytorch_model.bin").stat().st_size  # which is also: the original stays
    assert seen == sorted(seen) and seen[-1] == (size, size) and len(seen) > 3
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert len(list(tmp_path.iterdir())) == 2


def test_offsets_are_aligned(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3, dtype=torch.bool), "b": torch.ones(2)}, tmp_path / "x.pt")
    here(tmp_path / "x.pt", tmp_path / "o")
    same(tmp_path / "o", {"a": torch.zeros(3, dtype=torch.bool), "b": torch.ones(2)})
    length = struct.unpack("<Q", (tmp_path / "o").read_bytes()[:8])[0]
    header = json.loads((tmp_path / "o").read_bytes()[8 : 8 + length])
    assert length % 8 == 0 and header["b"]["data_offsets"][0] % 4 == 0


@pytest.mark.parametrize(
    "keys, chosen",
    [
        (["state_dict", "state_dict_ema"], "state_dict_ema"),
        (["module"], "module"),
        (["model", "state_dict"], "state_dict"),
        ([], ""),
    ],
)
def test_nested(tmp_path: Path, keys: list[str], chosen: str) -> None:
    entries: dict = {key: {"w": torch.full((2,), float(i))} for i, key in enumerate(keys)}
    optimizer = {
        "state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(2)}},
        "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "fused": None, "params": [0]}],
    }
    torch.save(
        {
            **entries,
            "optimizer": optimizer,
            "epoch": 3,
            "size": torch.Size([2]),
            "dtype": torch.float16,
            "ema": {"decay": 0.9},
            "w": torch.full((2,), 9.0),
        },
        tmp_path / "x.pth",
    )
    found, key, storages = read(tmp_path / "x.pth")
    with storages:
        assert key == chosen and list(found) == ["w"] and isinstance(found["w"], LazyTensor)
        value = 9.0 if not keys else float(keys.index(chosen))
        assert bytes(storages.contiguous(found["w"])) == struct.pack("<2f", value, value)


def shards(folder: Path) -> None:
    for number in (1, 2):
        torch.save({f"w{number}": torch.full((number,), 1.0)}, folder / f"pytorch_model-0000{number}-of-00002.bin")
    (folder / "pytorch_model.bin.index.json").write_text(
        json.dumps(
            {
                "metadata": {"total_size": 12},
                "weight_map": {f"w{n}": f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)},
            }
        ),
        encoding="utf-8",
    )


def test_sharded(tmp_path: Path) -> None:
    shards(tmp_path)
    (tmp_path / "optimizer.pt").write_bytes(b"left alone")
    out = tmp_path / "new" / "out"
    written = convert(tmp_path, out)
    assert [p.name for p in written] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    assert json.loads((out / "model.safetensors.index.json").read_text(encoding="utf-8")) == {
        "metadata": {"total_size": 12},
        "weight_map": {f"w{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)},
    }
    same(out / "model-00002-of-00002.safetensors", {"w2": torch.ones(2)})


def test_a_set_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    shards(tmp_path)
    second = tmp_path / "pytorch_model-00002-of-00002.bin"
    second.write_bytes(second.read_bytes()[:-60])
    with pytest.raises(BrokenWeights):
        convert(tmp_path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    second.unlink()
    with pytest.raises(BrokenWeights, match=r"00002-of-00002.bin' is missing"):
        convert(tmp_path)


def test_index_cannot_point_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    torch.save({"w": torch.ones(1)}, tmp_path / "x.bin")
    (tmp_path / "in" / "pytorch_model.bin.index.json").write_text('{"weight_map": {"w": "../x.bin"}}', encoding="utf-8")
    with pytest.raises(BrokenWeights):
        convert(tmp_path / "in")


def test_existing_output_is_kept(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "diffusion_pytorch_model.bin")
    place = tmp_path / "diffusion_pytorch_model.safetensors"
    place.write_bytes(b"mine")
    assert convert(tmp_path, progress=lambda *_: pytest.fail("it was read")) == []
    with pytest.raises(BadFile):
        convert(tmp_path, keep=False)
    assert place.read_bytes() == b"mine"
    place.unlink()
    assert convert(tmp_path / "diffusion_pytorch_model.bin", keep=False) == [place]


def test_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        convert(tmp_path)
    with pytest.raises(BadFile):
        convert(tmp_path / "no")
    for name in ("a.pt", "a.pth"):
        torch.save({"w": torch.ones(1)}, tmp_path / name)
    with pytest.raises(BadFile, match="several"):
        convert(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputFolder):
        convert(tmp_path / "a.pt", tmp_path / "file")


# hostile and broken files -----------------------------------------------------------------------------------------


class Calls:
    """Pickles as a call of something."""

    def __init__(self, function: object, *args: object, state: object = None) -> None:
        self.parts = (function, args, state) if state is not None else (function, args)

    def __reduce__(self) -> tuple:
        return self.parts


def hostile(path: Path, data: bytes, zipped: bool = True) -> Path:
    if zipped:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", data)
            file.writestr("archive/version", "3\n")
    else:
        head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001, "type_sizes": {}}]
        path.write_bytes(b"".join(pickle.dumps(v, 2) for v in head) + data + pickle.dumps([], 2))
    return path


def cases(marker: Path) -> dict[str, tuple[bytes, str]]:
    import numpy as np

    touch = f"touch '{marker}'" if os.name == "posix" else f'type nul > "{marker}"'
    dotted = b"\x80\x04\x8c\x0btorch._utils\x94".replace(b"\x0b", b"\x0c") + b"\x8c\x1b_rebuild_tensor.__globals__"
    return {
        "system": (pickle.dumps({"w": Calls(os.system, touch)}, 2), f"{os.system.__module__}.system"),
        "eval": (
            b"\x80\x02cbuiltins\neval\nX"
            + struct.pack("<I", 30 + len(str(marker)))
            + f"__import__('os').mkdir({str(marker)!r})".encode().ljust(30 + len(str(marker)))
            + b"\x85R.",
            "builtins.eval",
        ),
        "py2 eval": (b"c__builtin__\neval\n(S'1'\ntR.", "__builtin__.eval"),
        "inst": (b"(S'" + touch.encode("ascii").replace(b"'", b"\\'") + b"'\nios\nsystem\n.", "os.system"),
        "module": (pickle.dumps({"w": torch.nn.Module}, 2), "torch.nn.modules.module.Module"),
        "dotted": (dotted + b"\x94\x93.", "torch._utils._rebuild_tensor.__globals__"),
        "dotted ours": (
            b"\x80\x04\x8c\x0ccollections\x94".replace(b"\x0c", b"\x0b") + b"\x8c\x14OrderedDict.__init__\x94\x93.",
            "collections.OrderedDict.__init__",
        ),
        "numpy": (pickle.dumps({"w": np.arange(3)}, 2), "numpy"),
        "getattr": (b"\x80\x02cbuiltins\ngetattr\n.", "builtins.getattr"),
        "extension": (b"\x80\x02\x82\x01.", "opcode EXT1"),
        "text id": (b"Pmodule\n.", "persistent id"),
        "build function": (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__)s\x86b.",
            "BUILD",
        ),
        "build storage": (b"\x80\x02ctorch\nFloatStorage\n(X\x01\x00\x00\x00xK\x05lb.", "BUILD"),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("case", list(cases(Path("x"))))
def test_hostile_pickles_run_nothing(tmp_path: Path, case: str, zipped: bool) -> None:
    marker = tmp_path / "marker"
    data, what = cases(marker)[case]
    path = hostile(tmp_path / "x.pt", data, zipped)
    with pytest.raises(PickleRefused) as told:
        here(path, tmp_path / "out")
    assert what in str(told.value) and str(path) in str(told.value)
    assert os.listdir(tmp_path) == ["x.pt"]


def test_refusal_crosses_from_the_child(tmp_path: Path) -> None:
    hostile(tmp_path / "x.pt", cases(tmp_path / "marker")["system"][0])
    with pytest.raises(PickleRefused, match="system"):
        convert(tmp_path)
    assert os.listdir(tmp_path) == ["x.pt"]


def test_build_changes_no_tensor() -> None:
    class Grafted:
        def __reduce__(self) -> tuple:
            return torch._utils._rebuild_tensor_v2, (Pid(), 0, (2,), (1,), False, None), [1, 2, 3, 4, 5]

    class Pid:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", 2) if isinstance(value, Pid) else None

    file = io.BytesIO()
    Pickler(file, 2).dump(Grafted())
    with pytest.raises(Exception, match="BUILD"):
        Unpickler(file.getvalue()).load()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"\x80\x02Np2000000000\n.",  # memo slots nobody filled: room for 16 GB
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 50) + b"N.",
        b"\x80\x02}.",
        b"\x80\x02N",
        b"",
        b"\x80\x02ctorch\nSize\nK\x05\x85R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor\n)R.",
        b"\x80\x02ctorch\nFloatStorage\n)R.",
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_bombs_and_nonsense(tmp_path: Path, data: bytes, zipped: bool) -> None:
    path = hostile(tmp_path / "x.pt", data, zipped)
    with pytest.raises(BrokenWeights):
        read(path)


def rezip(source: Path, path: Path, change: dict[str, bytes | None], method: int = zipfile.ZIP_STORED) -> Path:
    """The zip with some members exchanged (None: left out) or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", method) as new:
        parts = {name: old.read(name) for name in old.namelist()}
        top = next(iter(parts)).split("/")[0]
        for name, data in (parts | {name.replace("TOP", top): data for name, data in change.items()}).items():
            if data is not None:
                new.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"TOP/data/0": b"\0" * 12},
        {"TOP/data/0": b"\0" * 20},
        {"TOP/data/0": None},
        {"TOP/data.pkl": None},
        {"TOP/byteorder": b"big"},
        {"../evil": b""},
        {"/evil": b""},
        {"a\\b": b""},
        {"C:evil": b""},
        {"other/data.pkl": b""},
    ],
)
def test_zip_tricks(tmp_path: Path, change: dict[str, bytes | None]) -> None:
    torch.save({"w": torch.ones(4)}, tmp_path / "good.pt")
    read(rezip(tmp_path / "good.pt", tmp_path / "same.pt", {})).storages.__exit__()
    with pytest.raises(BrokenWeights):
        read(rezip(tmp_path / "good.pt", tmp_path / "bad.pt", change))


def test_compressed_zip(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(4)}, tmp_path / "good.pt")
    with pytest.raises(BrokenWeights, match="compressed"):
        read(rezip(tmp_path / "good.pt", tmp_path / "bad.pt", {}, zipfile.ZIP_DEFLATED))


def test_changed_bytes_fail_the_checksum(tmp_path: Path) -> None:
    torch.save({"w": torch.full((4,), 1.5)}, tmp_path / "x.pt")
    data = (tmp_path / "x.pt").read_bytes()
    assert data.count(struct.pack("<f", 1.5) * 4) == 1
    (tmp_path / "x.pt").write_bytes(data.replace(struct.pack("<f", 1.5) * 4, b"\1" * 16))
    with pytest.raises(BrokenWeights):
        here(tmp_path / "x.pt", tmp_path / "out")
    assert os.listdir(tmp_path) == ["x.pt"]  # it failed in the middle of writing


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_anywhere(tmp_path: Path, zipped: bool) -> None:
    torch.save(tensors(), tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    data = (tmp_path / "x.pt").read_bytes()
    for length in [*range(0, len(data), max(1, len(data) // 40)), len(data) - 1]:
        (tmp_path / "x.pt").write_bytes(data[:length])
        with pytest.raises(BrokenWeights):
            read(tmp_path / "x.pt")  # known before anything is written


@pytest.mark.parametrize("zipped", [True, False])
def test_flipped_bits_raise_only_ours(tmp_path: Path, zipped: bool) -> None:
    torch.save(tensors(), tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    data = (tmp_path / "x.pt").read_bytes()
    for at in range(0, len(data), max(1, len(data) // 150)):
        (tmp_path / "x.pt").write_bytes(data[:at] + bytes([data[at] ^ 0x15]) + data[at + 1 :])
        try:
            here(tmp_path / "x.pt", tmp_path / "out")
            (tmp_path / "out").unlink()  # a number or a name changed
        except CommonArtError:
            pass
        assert os.listdir(tmp_path) == ["x.pt"]


@pytest.mark.parametrize(
    "shape, stride, offset",
    [
        ((5,), (1,), 0),
        ((4,), (1,), 1),
        ((2, 2), (3, 1), 1),
        ((2,), (-1,), 3),
        ((1 << 40,), (0,), 0),
        ((True,), (1,), 0),
        ((4,), (1, 1), 0),
    ],
)
def test_tensors_stay_inside_their_storage(shape: tuple, stride: tuple, offset: int) -> None:
    pid = ("storage", torch.FloatStorage, "0", "cpu", 4)

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return pid if value == "pid" else None

    def load(*args: object) -> LazyTensor:
        file = io.BytesIO()
        Pickler(file, 2).dump(Calls(torch._utils._rebuild_tensor_v2, "pid", *args, False, None))
        return Unpickler(file.getvalue()).load()

    assert load(0, (2, 2), (1, 2)).count == 4
    with pytest.raises(Exception, match=r"makes no sense|larger"):
        load(offset, shape, stride)


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"w": torch.ones(100)}, tmp_path / "x.pt")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 300))
    with pytest.raises(DiskFull):
        here(tmp_path / "x.pt", tmp_path / "out")
    shards(tmp_path)
    with pytest.raises(DiskFull):
        convert(tmp_path)
    assert not list(tmp_path.glob("*.safetensors")) and not list(tmp_path.glob(".*"))


# the child --------------------------------------------------------------------------------------------------------


def test_a_dead_child_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"w": torch.ones(100)}, tmp_path / "x.pt")
    dies = "import sys; open(sys.argv[1], 'w').write('half'); print('{\"done\": 1', end='', flush=True); sys.exit(9)"
    start = subprocess.Popen
    monkeypatch.setattr(
        module.subprocess, "Popen", lambda args, **more: start([sys.executable, "-c", dies, args[-1]], **more)
    )
    with pytest.raises(BrokenWeights, match="status 9"):
        convert(tmp_path)
    assert os.listdir(tmp_path) == ["x.pt"]


def test_a_crashing_child_is_told(tmp_path: Path) -> None:
    deep = b"\x80\x02})" + b"\x85" * 400_000 + b"Ns."  # hashing this key overruns the stack, or is refused
    hostile(tmp_path / "x.pt", deep)
    with pytest.raises(BrokenWeights):
        convert(tmp_path)
    assert os.listdir(tmp_path) == ["x.pt"]


def test_a_failing_progress_leaves_nothing(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(100)}, tmp_path / "x.pt")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path, progress=stop)
    assert os.listdir(tmp_path) == ["x.pt"]


ACTS = {
    "socket": "socket.socket()",
    "resolve": "socket.getaddrinfo('localhost', 1)",
    "system": "os.system('')",
    "popen": "subprocess.Popen([sys.executable, '-c', ''])",
    "exec": "os.execv(sys.executable, ['x'])",
    "ctypes": "ctypes.CDLL(None)",
    "write": "open(other, 'w')",
    "append": "open(other, 'ab')",
    "update": "open(__import__('sys').executable, 'r+b')",
    "os.open": "os.open(other, os.O_WRONLY | os.O_CREAT)",
    "climb": "open(os.path.join(home, '..', 'other'), 'w')",
    "sibling": "open(home + 'more', 'w')",
    "remove": "os.remove(kept)",
    "rename": "os.rename(kept, other)",
    "mkdir": "os.mkdir(other)",
}


def test_the_child_is_sandboxed(tmp_path: Path) -> None:
    """Every act is one the child can do before ``enter_sandbox`` and not after it."""
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "kept").write_text("kept", encoding="utf-8")
    code = f"""
import ctypes, json, os, socket, subprocess, sys
from pathlib import Path
from engine.checkpoint.convert import enter_sandbox
home, other, kept = {str(home)!r}, {str(tmp_path / "other")!r}, {str(tmp_path / "kept")!r}
enter_sandbox(Path(home))
refused = []
for name, act in {ACTS!r}.items():
    try:
        eval(act)
    except PermissionError as error:
        if "refused: " in str(error):
            refused.append(name)
    except Exception as error:
        print(name, repr(error), file=sys.stderr)
with open(os.path.join(home, "mine"), "wb") as file:
    file.write(b"x")
os.remove(os.path.join(home, "mine"))
assert open(kept).read() == "kept"
print(json.dumps(refused))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert json.loads(ran.stdout) == list(ACTS), ran.stderr
    assert sorted(os.listdir(tmp_path)) == ["home", "kept"]


def test_the_child_shuts_itself_in_before_it_reads(tmp_path: Path) -> None:
    code = """
import socket, sys
from pathlib import Path
from engine.checkpoint import convert
convert.write = lambda *_: socket.socket()
convert._child(Path(sys.argv[1]), Path(sys.argv[1]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x")],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert "refused: socket" in ran.stderr


def test_the_child_imports_no_torch_and_needs_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "x.pt")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise SystemExit(3)", encoding="utf-8")  # the folder of the weights is no path
    assert convert(Path("x.pt")) == [tmp_path / "x.safetensors"]
    code = "import sys, engine.checkpoint.convert; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
