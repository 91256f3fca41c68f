"""A model's own test suite: prompts that were not in the training, each with true renders of all possible answers.

A task's image is compared, by the simple features of ``features``, with those of its candidates: one true scene for every
possible answer (the concept in each style, two concepts in four arrangements, one to four of it, six colours). The
nearest is its answer. Which concept it shows is decided by ``concepts.safetensors``; the background by the colour of the
corners.

The file ``suite.safetensors`` of a model is written by ``trainer.mini.suite``. Its header has the tasks, the vocabulary
they belong to, and the ceilings: how often the same evaluation is right about true renders that went through the model's
own autoencoder.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.contract.errors import BrokenWeights, Phrase
from trainer.evaluation import metrics
from trainer.evaluation.features import COARSE, features
from trainer.evaluation.truth import STEP, ConceptTable

FILE = "suite.safetensors"
#: kinds of tasks; "cell" is a concept in a style in which training never showed it
KINDS = ("concept", "cell", "style", "ground", "relation", "count", "colour")
MAX_FILE, _MOST = 64_000_000, 256 << 20  # bytes packed and unpacked
_CORNER = 0.08  # of a side: size of the squares in the corners that show the background

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task. ``rows``: [start, stop) of its candidates; ``right``: index of the correct one; ``thing``: its concept."""

    kind: str
    prompts: Mapping[str, str]
    thing: int
    style: int | None = None
    rows: tuple[int, int] = (0, 0)
    right: int = 0


@dataclass(frozen=True, eq=False)
class Suite:
    """A test suite.

    ``known``: float32 ``[rows, d]``; ``grounds``: sRGB of each background; ``ceiling``: kind -> share of correct answers on
    true renders; ``near``: 95th percentile of the squared distance by which the autoencoder moves a true render's
    features; ``heldout``: (concept, style) that training never showed.
    """

    tasks: tuple[Task, ...]
    known: Array
    grounds: Array
    ceiling: Mapping[str, float]
    near: float
    heldout: frozenset[tuple[int, int]]
    vocabulary: str
    sha256: str

    def limited(self, limit: int | None) -> list[int]:
        """Indices of the first ``limit`` tasks of each kind."""
        counts: dict[str, int] = {}
        result = []
        for n, task in enumerate(self.tasks):
            counts[task.kind] = counts.get(task.kind, 0) + 1
            if limit is None or counts[task.kind] <= limit:
                result.append(n)
        return result

    def ground_of(self, images: Sequence[Array]) -> Array:
        """The nearest background of each uint8 RGB image, by the median of its corners."""
        result = []
        for one in images:
            n = max(1, round(min(one.shape[:2]) * _CORNER))
            corners = np.concatenate(
                [part.reshape(-1, 3) for part in (one[:n, :n], one[:n, -n:], one[-n:, :n], one[-n:, -n:])]
            )
            result.append(int(((self.grounds - np.median(corners, 0)) ** 2).sum(1).argmin()))
        return np.array(result)

    def answers(self, tasks: Sequence[int], images: Sequence[Array], rows: Array) -> Array:
        """Whether each image (with its features ``rows``) answers its task correctly; for single concepts, the style.

        Candidates show the same concepts, so only the colours on the coarse grid are compared: the histogram of edges is
        normalised and takes a slightly uneven surface for shading.
        """
        right = np.zeros(len(tasks), bool)
        for n, number in enumerate(tasks):
            task = self.tasks[number]
            if task.kind == "ground":
                right[n] = int(self.ground_of([images[n]])[0]) == task.right
            elif task.rows[1] > task.rows[0]:
                far = ((self.known[task.rows[0] : task.rows[1], :COARSE] - rows[n, :COARSE]) ** 2).sum(1)
                right[n] = int(far.argmin()) == task.right
        return right


@dataclass
class SuiteResult:
    """Scores of each image: its task, language, whether the answer is correct, the concept's rank, distances."""

    tasks: list[int]
    langs: list[str]
    right: Array
    places: Array
    own: Array  # squared distance to its true render; nan if there is no single one
    copied: Array  # is the nearest true render one of the training's, and as near as a copy?


def score(
    suite: Suite, truth: ConceptTable, tasks: Sequence[int], langs: Sequence[str], images: Sequence[Array]
) -> tuple[SuiteResult, Array]:
    """Score one image per task; also returns the features ``[n, d]``."""
    rows = features(images)
    right = suite.answers(tasks, images, rows)
    flat = truth.known.reshape(-1, truth.known.shape[-1])
    styles = truth.known.shape[1]
    shown = np.array([(n // styles, n % styles) not in suite.heldout for n in range(len(flat))])
    places, own, copied = np.full(len(tasks), -1), np.full(len(tasks), np.nan), np.zeros(len(tasks), bool)
    size = (flat**2).sum(1)
    for n, number in enumerate(tasks):
        task = suite.tasks[number]
        if task.kind not in ("concept", "cell", "style"):
            continue
        far = np.maximum(size - 2 * (flat @ rows[n]) + (rows[n] ** 2).sum(), 0)
        nearest = far.reshape(len(truth.known), styles).min(1)
        places[n] = int((nearest < nearest[task.thing]).sum())
        own[n] = far[task.thing * styles + task.style] if task.style is not None else nearest[task.thing]
        first = int(far.argmin())
        copied[n] = bool(shown[first]) and far[first] <= suite.near
    return SuiteResult(list(tasks), list(langs), right, places, own, copied), rows


def figures(
    suite: Suite, truth: ConceptTable, scores: SuiteResult, rows: Array, langs: Sequence[str]
) -> list[dict[str, Any]]:
    """One row per measure and language: value, interval, number of images, and the ``ceiling`` if there is one."""
    kinds = np.array([suite.tasks[t].kind for t in scores.tasks])
    result: list[dict[str, Any]] = []
    for lang in (*langs, *(("both",) if len(langs) > 1 else ())):
        mine = np.array([lang in (x, "both") for x in scores.langs])
        for measure, of, values, ceiling in (
            ("concept_top1", "concept", scores.places == 0, "concept_top1"),
            ("concept_top5", "concept", scores.places < 5, "concept_top5"),
            ("unseen_top1", "cell", scores.places == 0, "cell_top1"),
            ("unseen_top5", "cell", scores.places < 5, "cell_top5"),
            ("unseen_style", "cell", scores.right, "cell"),
            ("style", "style", scores.right, "style"),
            ("background", "ground", scores.right, "ground"),
            ("relation", "relation", scores.right, "relation"),
            ("count", "count", scores.right, "count"),
            ("colour", "colour", scores.right, "colour"),
        ):
            where = mine & (kinds == of)
            if where.any():
                result.append(
                    {"measure": measure, "lang": lang}
                    | metrics.mean_of([values[where].astype(float)]).as_data()
                    | ({"ceiling": suite.ceiling[ceiling]} if ceiling in suite.ceiling else {})
                )
        alone = mine & (kinds == "cell")
        if alone.any():
            result.append(
                {"measure": "unseen_distance", "lang": lang}
                | metrics.mean_of([np.sqrt(scores.own[alone])]).as_data()
                | {"near": suite.near**0.5}
            )
            result.append(
                {"measure": "unseen_copies", "lang": lang}
                | metrics.mean_of([scores.copied[alone].astype(float)]).as_data()
            )
            true = np.stack(
                [
                    truth.known[suite.tasks[t].thing, suite.tasks[t].style]
                    for t, w in zip(scores.tasks, alone, strict=True)
                    if w
                ]
            )
            if len(true) >= 2:
                scale = rows.shape[1] ** 0.5  # the kernel divides by the width; these features have unit length
                result.append(
                    {"measure": "unseen_kid", "lang": lang} | metrics.kid(rows[alone] * scale, true * scale).as_data()
                )
        seen = mine & np.isin(kinds, ("concept", "style"))
        if seen.any():
            result.append(
                {"measure": "copies", "lang": lang} | metrics.mean_of([scores.copied[seen].astype(float)]).as_data()
            )
    return result


def pack(path: Path, tasks: Sequence[Task], known: Array, fields: Mapping[str, Any]) -> int:
    """Write the file; ``fields`` are the other fields of ``Suite`` as JSON. Returns its size in bytes."""
    from safetensors.numpy import save

    from engine.contract.files import replacing

    mean = known.mean(0).astype(np.float16)
    codes = np.clip(np.rint((known - mean.astype(np.float32)) / STEP), -127, 127).astype(np.int8)
    packed = lzma.compress(np.ascontiguousarray(codes.T).tobytes(), preset=9 | lzma.PRESET_EXTREME)
    metadata = dict(fields) | {
        "shape": list(known.shape),
        "step": STEP,
        "tasks": [asdict(t) | {"prompts": dict(t.prompts)} for t in tasks],
    }
    data = save(
        {"codes": np.frombuffer(packed, np.uint8), "mean": mean}, {"suite": json.dumps(metadata, ensure_ascii=False)}
    )
    with replacing(path) as f:
        f.write(data)
    return len(data)


def read(path: Path) -> Suite:
    """Raises BrokenWeights: it is damaged, too large or no suite."""
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as e:
        raise BrokenWeights(path=path, why=Phrase("it is damaged or cut off")) from e


@lru_cache(maxsize=2)
def _read(path: Path, _changed: int) -> Suite:
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > MAX_FILE:
            raise ValueError("too large")
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["suite"])
            codes, mean = file.get_tensor("codes"), file.get_tensor("mean").astype(np.float32)
        count, width = (int(n) for n in header["shape"])
        if not 0 < count * width <= _MOST or mean.shape != (width,):
            raise ValueError("invalid shape")
        raw = lzma.LZMADecompressor(memlimit=256 << 20).decompress(codes.tobytes(), count * width + 1)
        if len(raw) != count * width:
            raise ValueError("wrong number of codes")
        known = (
            np.frombuffer(raw, np.int8).reshape(width, count).T.astype(np.float32) * np.float32(header["step"]) + mean
        )
        tasks = tuple(_task(t, count) for t in header["tasks"])
        return Suite(
            tasks,
            known,
            np.array(header["grounds"], np.float32).reshape(-1, 3),
            {str(k): float(v) for k, v in header["ceiling"].items()},
            float(header["near"]),
            frozenset((int(t), int(s)) for t, s in header["heldout"]),
            str(header["vocabulary"]),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        SafetensorError,
        lzma.LZMAError,
        RecursionError,
    ) as e:
        raise BrokenWeights(path=path, why=Phrase("it is damaged or cut off")) from e


def _task(data: Mapping[str, Any], count: int) -> Task:
    start, stop = (int(n) for n in data["rows"])
    if (
        data["kind"] not in KINDS
        or not 0 <= start <= stop <= count
        or not 0 <= int(data["right"]) < max(1, stop - start, 64)
    ):
        raise ValueError("invalid task")
    style = data.get("style")
    return Task(
        kind=str(data["kind"]),
        prompts={str(k): str(v) for k, v in data["prompts"].items()},
        thing=int(data["thing"]),
        style=None if style is None else int(style),
        rows=(start, stop),
        right=int(data["right"]),
    )
