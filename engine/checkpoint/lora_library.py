"""The LoRA folder: files found by name, by path below it or by folder, and a list of what lies there."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.checkpoint.adapter.groups import gather
from engine.checkpoint.adapter.settings import PEFT_FILE
from engine.checkpoint.file_kinds import PICKLES, wrong_kind
from engine.checkpoint.lora_header import told_by
from engine.checkpoint.weights import read_header
from engine.contract.errors import AmbiguousLora, CommonArtError, UnknownLora
from engine.contract.paths import home

#: names that every adapter of PEFT or diffusers has; the folder's name tells them apart
_GENERIC = (PEFT_FILE.removesuffix(".safetensors"), "pytorch_lora_weights")


def lora_folder() -> Path:
    """Where LoRAs lie that are known by name."""
    return home() / "loras"


def _known() -> dict[str, list[Path]]:
    """The LoRA folder's files by plain name and by path below it without suffix, both in Unicode's form NFC."""
    folder, found = lora_folder(), dict[str, list[Path]]()
    for path in sorted(folder.rglob("*.safetensors")):
        below = path.relative_to(folder).with_suffix("")
        names = {below.name, below.as_posix()}
        if len(below.parts) == 1:  # the path of a file in the folder itself, where others further down have its name
            names.add(f"{folder.name}/{below.name}")
        elif path.stem in _GENERIC:
            names = {below.as_posix(), below.parent.as_posix(), below.parent.name}
        for name in sorted(names):
            found.setdefault(unicodedata.normalize("NFC", name), []).append(path)
    return found


def _names(known: dict[str, list[Path]]) -> dict[Path, str]:
    """The shortest name of each file that no other file has."""
    found: dict[Path, str] = {}
    for name in sorted(known, key=lambda n: (n.count("/"), len(n))):
        if len(known[name]) == 1:
            found.setdefault(known[name][0], name)
    return found


def locate_lora(name: str) -> Path:
    """The file of an absolute path, in a folder given by one (as PEFT and diffusers save), or known in the LoRA folder
    by a name.

    No other relative path is followed: names come out of recipes and prompt files too, which choose no place on the
    disk.

    Raises:
        UnknownLora, AmbiguousLora, NotSafetensors
    """
    path = Path(name).expanduser()
    given = _given(path) if path.is_absolute() else None
    if given is not None:
        return given
    known = _known()
    plain = unicodedata.normalize("NFC", name).replace("\\", "/").removesuffix(".safetensors").rstrip("/")
    files = known.get(plain, [])
    if len(files) == 1:
        return files[0]
    names = _names(known)
    if files:
        raise AmbiguousLora(name=name, count=len(files), known=", ".join(names.get(f, str(f)) for f in files))
    near = difflib.get_close_matches(plain, sorted(names.values()), 3, 0.5) or sorted(names.values())[:8]
    raise UnknownLora(name=name, folder=lora_folder(), known=", ".join(near) or "–")


def _given(path: Path) -> Path | None:
    """The adapter at a path; None if none is there. Raises as ``_inside``."""
    try:
        if path.is_file():
            return path
        return _inside(path) if path.is_dir() else None
    except (OSError, ValueError):
        return None  # a name that no disk can hold


def _inside(folder: Path) -> Path | None:
    """The adapter that a folder holds; None if it holds none.

    Raises:
        AmbiguousLora, NotSafetensors: it holds several, or only pickles.
    """
    for stem in _GENERIC:
        if (folder / f"{stem}.safetensors").is_file():
            return folder / f"{stem}.safetensors"
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return files[0]
    if files:
        raise AmbiguousLora(name=folder.name, count=len(files), known=", ".join(str(f) for f in files[:8]))
    for stem in _GENERIC:
        for suffix in PICKLES:
            if (folder / f"{stem}{suffix}").is_file():
                raise wrong_kind(folder / f"{stem}{suffix}")
    return None


def name_of(path: Path) -> str:
    """What recipes call a file: the name under which it is known, else that of the file or of its folder."""
    if path.is_relative_to(lora_folder()):
        known = _names(_known()).get(path)
        if known is not None:
            return known
    return path.parent.name if path.stem in _GENERIC and path.parent.name else path.stem


def list_loras() -> Iterator[dict[str, Any]]:
    """Every file of the LoRA folder, as the window and ``models`` show it; ``name`` finds the one file and no other."""
    names = _names(_known())
    for path in sorted(lora_folder().rglob("*.safetensors")):
        name = names.get(path, path.stem)
        try:
            groups, _ = gather(path, read_header(path))
            told = told_by(path)
        except CommonArtError as e:
            yield {"name": name, "path": str(path), "problem": e.to_wire()}
            continue
        kinds = sorted({kind for group in groups.values() for kind in group.kinds})
        yield {
            "name": name,
            "path": str(path),
            "bytes": path.stat().st_size,
            "kind": kinds[0] if len(kinds) == 1 else "",
            "rank": _largest_rank(path, groups),
            "problem": None,
        } | told


def _largest_rank(path: Path, groups: dict[str, Any]) -> int:
    table = read_header(path)
    shapes = [
        table[group.names[factor]].shape
        for group in groups.values()
        for factor in ("down", "w1_b", "w2_b")
        if factor in group.names
    ]
    return max((shape[0] for shape in shapes if shape), default=0)
