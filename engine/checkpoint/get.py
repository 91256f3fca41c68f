"""Fetching a model from a Hugging Face hub into its cache: the only code of this program that uses the network, and
only when asked.

``hf_hub_download`` drops what it had when it is interrupted; files of ten gigabytes must go on where they stopped. So
the library lists the files and opens the connections, and the bytes are stored here, in the cache's own layout.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from engine.checkpoint.library import hub_cache
from engine.contract.errors import (
    BadValue,
    BrokenDownload,
    DiskFull,
    NoNetwork,
    NotOnHub,
    OutputFolder,
    Phrase,
    UsageError,
    system_words,
)
from engine.contract.files import rename
from engine.contract.ledger.process_lock import ProcessLock

HUB = "https://huggingface.co"
RETRIES = 5  # in a row, without a byte in between
_TEXTS = (".json", ".txt", ".model", ".jinja")
_PICKLES = (".bin", ".pth", ".pt", ".ckpt")
_NOT_WEIGHTS = re.compile(r"training_args|optimizer|scheduler|rng_state", re.I)
_USED = re.compile(r"(diffusion_pytorch_model|model)(-\d+-of-\d+)?(\.(?P<variant>[^.]+))?(-\d+-of-\d+)?\.safetensors")
_SAFE = re.compile(r"[^\x00-\x1f\\:*?\"<>|]+")
Progress = Callable[[int, int], None]


def choose(paths: list[str], *, allow_pickles: bool = False) -> tuple[list[str], dict[str, Phrase]]:
    """(files to fetch, file left out -> why).

    Folder by folder: the weights that this program reads, and the texts beside them.
    """
    take: list[str] = []
    leave: dict[str, Phrase] = {}
    folders: dict[PurePosixPath, list[str]] = {}
    for path in paths:
        folders.setdefault(PurePosixPath(path).parent, []).append(path)
    for group in folders.values():
        named = {p: m for p in group if (m := _USED.fullmatch(PurePosixPath(p).name))}
        plain = [p for p, m in named.items() if m["variant"] is None]
        tensors = plain or list(named) or [p for p in group if p.endswith(".safetensors")]
        for path in group:
            name = PurePosixPath(path).name
            if path in tensors or name.endswith(_TEXTS) or re.match(r"(readme|licen[sc]e|notice|copying)", name, re.I):
                take.append(path)
            elif name.endswith(".safetensors"):
                leave[path] = Phrase("the same weights again in another form")
            elif not name.endswith(_PICKLES) or _NOT_WEIGHTS.match(name):
                leave[path] = Phrase("this program does not need it")
            elif tensors:
                leave[path] = Phrase("the same weights again in another form")
            elif allow_pickles:
                take.append(path)
            else:
                leave[path] = Phrase(
                    "pickled weights; they are fetched only if you allow it, and must be converted before use"
                )
    return take, leave


def _as_our_error(error: Exception, endpoint: str, what: str) -> Exception:
    """The library's exceptions as ours, in one sentence."""
    from huggingface_hub import errors

    if isinstance(
        error,
        errors.GatedRepoError
        | errors.RepositoryNotFoundError
        | errors.RevisionNotFoundError
        | errors.RemoteEntryNotFoundError,
    ):
        return NotOnHub(endpoint=endpoint, what=what)
    if isinstance(error, errors.HFValidationError):
        return BadValue(
            name="repo", value=what, why=Phrase("it must look like {example}", example="aipicasso/commonart-beta")
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(path=hub_cache())
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None and isinstance(error, OSError) and error.filename:
        return OutputFolder(path=error.filename, why=system_words(error))
    lines = str(error).strip().splitlines()
    return NoNetwork(endpoint=endpoint, why=f"HTTP {status}" if status else (lines or [type(error).__name__])[0][:200])


def _entry(sibling: Any, what: str, endpoint: str) -> dict[str, Any]:
    """A file as the hub lists it; refused if its name or hash could lead out of the cache."""
    path, size = str(sibling.rfilename), sibling.size
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    parts = path.split("/")
    hashed = (
        re.fullmatch(r"[0-9a-f]{64}", str(sha256)) if sha256 else re.fullmatch(r"[0-9a-f]{40}", str(sibling.blob_id))
    )
    if (
        any(p in ("", ".", "..") or not _SAFE.fullmatch(p) for p in parts)
        or not isinstance(size, int)
        or size < 0
        or not hashed
    ):
        raise BrokenDownload(
            file=f"{what}/{path}"[:300], endpoint=endpoint, why=Phrase("the hub tells nonsense about it")
        )
    return {"path": path, "bytes": size, "sha256": sha256, "git": None if sha256 else sibling.blob_id}


def _digest(path: Path, entry: dict[str, Any]) -> str:
    """SHA-256 of the file; for files that lie in git itself their git name."""
    digest = (
        hashlib.sha256() if entry["sha256"] else hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    )
    with path.open("rb") as f:
        while chunk := f.read(8 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _stream(url: str, part: Path, size: int, headers: dict[str, str], report: Callable[[int], None]) -> None:
    """Download ``url`` to ``part``, continuing where it stopped; broken connections are resumed."""
    from huggingface_hub.utils import get_session, hf_raise_for_status  # type: ignore[attr-defined]  # no __all__

    http: Any = sys.modules[type(get_session()).__module__.partition(".")[0]]  # httpx or httpx2, as the library has it
    tries = 0
    while (have := part.stat().st_size if part.exists() else 0) < size:
        asked = headers | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            with get_session().stream("GET", url, headers=asked, follow_redirects=True, timeout=30) as answer:
                hf_raise_for_status(answer)
                resumed = answer.status_code == 206
                report(have if resumed else 0)
                with part.open("ab" if resumed else "wb") as f:
                    for (
                        chunk
                    ) in answer.iter_bytes():  # as they come: what is gathered first is lost with the connection
                        f.write(chunk)
                        tries = 0
                        report(f.tell())
                        if f.tell() > size:
                            return  # more than was announced: the hash will not match
            if part.stat().st_size < size:
                raise http.RemoteProtocolError("the connection ended early")
        except (http.ConnectError, http.TimeoutException, http.RemoteProtocolError, http.ReadError):
            tries += 1
            if tries >= RETRIES:
                raise
            time.sleep(min(0.2 * 4**tries, 10))


def _fetch(
    entry: dict[str, Any],
    url: str,
    target: Path,
    blobs: Path,
    headers: dict[str, str],
    endpoint: str,
    report: Callable[[int], None],
) -> None:
    """One file into the cache. A file that differs from its hash is deleted.

    Raises:
        BrokenDownload
    """
    if target.is_file() and target.stat().st_size == entry["bytes"]:
        return
    wanted = entry["sha256"] or entry["git"]
    blob, part = blobs / wanted, blobs / f"{wanted}.commonart.part"
    if not blob.is_file():
        if part.exists() and part.stat().st_size > entry["bytes"]:
            part.unlink()
        _stream(url, part, entry["bytes"], headers, report)
        part.touch()  # an empty file has no bytes to make it
        if _digest(part, entry) != wanted:
            part.unlink()
            raise BrokenDownload(file=entry["path"], endpoint=endpoint, why=Phrase("its hash is another"))
        rename(part, blob, overwrite=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.symlink_to(os.path.relpath(blob, target.parent))
    except OSError:  # Windows without that right, or a disk that knows no links: as the library does
        rename(blob, target, overwrite=True)


def get(
    repo_id: str,
    *,
    revision: str = "main",
    endpoint: str | None = None,
    dry_run: bool = False,
    allow_pickles: bool = False,
    expect: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fetch the files of a model repository that this program reads; with ``dry_run`` only report what would be
    fetched.

    ``expect`` is the commit that the user was shown: if the hub has another by now, nothing is fetched.

    Returns:
        ``repo``, ``commit``, ``licence``, ``files`` (path, bytes, sha256), ``skipped`` (path, bytes, why), ``bytes``,
        ``left`` (bytes not
        here yet), ``pickled`` (bytes of weights that are there only pickled), ``path`` (the folder; None on a dry run).

    Raises:
        NotOnHub, NoNetwork, BrokenDownload, DiskFull, BadValue, UsageError
    """
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # no __all__

    hub = (endpoint or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    if not re.match(r"https?://[^/]", hub):
        raise BadValue(name="endpoint", value=hub, why=Phrase("it must be an address that begins with https://"))
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", revision) or ".." in revision:
        raise BadValue(name="revision", value=revision, why=Phrase("it must be a branch, a tag or a commit"))
    token = None if hub == HUB else False  # the user's token for the hub is not sent to others
    what = repo_id if revision == "main" else f"{repo_id}@{revision}"
    try:
        info = HfApi(endpoint=hub, token=token, library_name="commonart-desktop").model_info(
            repo_id, revision=revision, files_metadata=True, timeout=30
        )
    except Exception as e:
        raise _as_our_error(e, hub, what) from e
    if not re.fullmatch(r"[0-9a-f]{40}", str(info.sha)):
        raise BrokenDownload(file=what, endpoint=hub, why=Phrase("the hub tells nonsense about it"))
    if expect not in (None, info.sha):
        raise UsageError(why=Phrase("{repo} was changed at the hub meanwhile; look at it again", repo=repo_id))
    entries = {e["path"]: e for e in (_entry(s, repo_id, hub) for s in info.siblings or [])}
    take, leave = choose(list(entries), allow_pickles=allow_pickles)
    files = sorted((entries[p] for p in take), key=lambda e: (e["bytes"], e["path"]))
    base = hub_cache() / ("models--" + repo_id.replace("/", "--"))
    snapshot, blobs = base / "snapshots" / str(info.sha), base / "blobs"

    def here(e: dict[str, Any]) -> int:
        """How many bytes of it are in the cache."""
        target, part = snapshot / e["path"], blobs / f"{e['sha256'] or e['git']}.commonart.part"
        if target.is_file() and target.stat().st_size == e["bytes"]:
            return int(e["bytes"])
        return min(part.stat().st_size, e["bytes"]) if part.is_file() else 0

    total, left = sum(e["bytes"] for e in files), sum(e["bytes"] - here(e) for e in files)
    licence = getattr(info.card_data, "license", None) if info.card_data else None
    licence = licence or next((t.removeprefix("license:") for t in info.tags or [] if t.startswith("license:")), None)
    pickled = sum(
        entries[p]["bytes"]
        for p in (*leave, *take)
        if p.endswith(_PICKLES) and (p in take or leave[p].startswith("pickled"))
    )
    answer: dict[str, Any] = {
        "repo": repo_id,
        "revision": revision,
        "commit": info.sha,
        "endpoint": hub,
        "licence": ", ".join(licence) if isinstance(licence, list) else licence,
        "files": [{k: e[k] for k in ("path", "bytes", "sha256")} for e in files],
        "bytes": total,
        "left": left,
        "pickled": pickled,
        "skipped": [
            {"path": p, "bytes": entries[p]["bytes"], "why": {"template": w.template, "fields": w.fields}}
            for p, w in leave.items()
        ],
        "path": None,
    }
    if dry_run:
        return answer
    try:
        blobs.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(blobs).free < left:
            raise DiskFull(path=blobs)
        lock = ProcessLock(base / "commonart-get.lock")
        if not lock.take():
            raise UsageError(why=Phrase("{repo} is being fetched already", repo=repo_id))
        try:
            _fetch_all(
                files,
                total,
                progress or (lambda done, whole: None),
                lambda e, report: _fetch(
                    e,
                    hf_hub_url(repo_id, e["path"], revision=info.sha, endpoint=hub),
                    snapshot / e["path"],
                    blobs,
                    build_hf_headers(token=token, library_name="commonart-desktop"),
                    hub,
                    report,
                ),
            )
            if revision != info.sha:
                ref = base / "refs" / revision
                ref.parent.mkdir(parents=True, exist_ok=True)
                ref.write_text(str(info.sha), encoding="utf-8")
        finally:
            lock.drop(remove=True)
    except (BrokenDownload, DiskFull, UsageError):
        raise
    except Exception as e:
        raise _as_our_error(e, hub, what) from e
    return answer | {"path": str(snapshot), "left": 0}


def _fetch_all(
    files: list[dict[str, Any]],
    total: int,
    progress: Progress,
    fetch: Callable[[dict[str, Any], Callable[[int], None]], None],
) -> None:
    """Fetch the files one after the other; progress is reported at most five times a second."""
    done, last = 0, 0.0

    def report(own: int) -> None:
        nonlocal last
        if time.monotonic() - last > 0.2:
            last = time.monotonic()
            progress(done + own, total)

    for entry in files:
        fetch(entry, report)
        done += entry["bytes"]
        report(0)
    progress(total, total)
