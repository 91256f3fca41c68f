"""A model's own examination: prompts that training never showed, and for each the true pictures that an answer is told by.

A task's picture is compared, by the plain features of ``features``, with the features of its candidates: one true scene for every answer it
might have given (the thing in each style, two things in four arrangements, one to four of it, six colours). The nearest is its answer. Which of
all things it drew is told by ``concepts.safetensors`` as ever; a ground by the colour of the corners.

The file ``suite.safetensors`` beside a model is made by ``trainer.mini.suite``. Its header holds the tasks, the vocabulary they belong to, and the
ceilings: how often the same judges are right about true pictures that went through the model's own autoencoder.
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
#: kinds of tasks; "cell" is a thing in a style that it was never shown in
KINDS = ("concept", "cell", "style", "ground", "relation", "count", "colour")
MAX_FILE, _MOST = 64_000_000, 256 << 20  # bytes packed and unpacked
_CORNER = 0.08  # of a side: the squares in the corners that are looked at for the ground

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One question. ``rows`` is [start, stop) of its candidates, ``right`` the place of the right one; ``thing`` the one it is about."""

    kind: str
    prompts: Mapping[str, str]
    thing: int
    style: int | None = None
    rows: tuple[int, int] = (0, 0)
    right: int = 0


@dataclass(frozen=True, eq=False)
class Suite:
    """``known``: float32 ``[rows, d]``; ``grounds``: sRGB of each ground; ``ceiling``: kind -> share of right answers on true pictures;
    ``near``: how far (squared) a true picture's features move in the autoencoder, at most, of 95 in 100; ``heldout``: (thing, style) never shown."""

    tasks: tuple[Task, ...]
    known: Array
    grounds: Array
    ceiling: Mapping[str, float]
    near: float
    heldout: frozenset[tuple[int, int]]
    vocabulary: str
    sha256: str

    def limited(self, limit: int | None) -> list[int]:
        """Indices of at most ``limit`` tasks of each kind, those that stand first."""
        counts: dict[str, int] = {}
        found = []
        for n, task in enumerate(self.tasks):
            counts[task.kind] = counts.get(task.kind, 0) + 1
            if limit is None or counts[task.kind] <= limit:
                found.append(n)
        return found

    def ground_of(self, pictures: Sequence[Array]) -> Array:
        """The nearest ground of each uint8 RGB picture, by the median of its corners."""
        found = []
        for one in pictures:
            n = max(1, round(min(one.shape[:2]) * _CORNER))
            corners = np.concatenate(
                [part.reshape(-1, 3) for part in (one[:n, :n], one[:n, -n:], one[-n:, :n], one[-n:, -n:])]
            )
            found.append(int(((self.grounds - np.median(corners, 0)) ** 2).sum(1).argmin()))
        return np.array(found)

    def answers(self, tasks: Sequence[int], pictures: Sequence[Array], rows: Array) -> Array:
        """For each picture (with its features ``rows``), is the task answered rightly? For things alone: is the style right?

        Candidates show the same things, so only colours on the coarse grid are held against them: the histogram of edges has no contrast and takes a
        slightly uneven surface for shading.
        """
        right = np.zeros(len(tasks), bool)
        for n, number in enumerate(tasks):
            task = self.tasks[number]
            if task.kind == "ground":
                right[n] = int(self.ground_of([pictures[n]])[0]) == task.right
            elif task.rows[1] > task.rows[0]:
                far = ((self.known[task.rows[0] : task.rows[1], :COARSE] - rows[n, :COARSE]) ** 2).sum(1)
                right[n] = int(far.argmin()) == task.right
        return right


@dataclass
class SuiteResult:
    """What was found of each picture: its task, language, whether the answer is right, the thing's place among all, distances."""

    tasks: list[int]
    langs: list[str]
    right: Array
    places: Array
    own: Array  # squared distance to its own true picture; nan where that is no single render
    copied: Array  # is its nearest true render one that training showed, and as near as a copy?


def judge(
    suite: Suite, truth: ConceptTable, tasks: Sequence[int], langs: Sequence[str], pictures: Sequence[Array]
) -> tuple[SuiteResult, Array]:
    """Look at one picture a task; also returns the pictures' features ``[n, d]``."""
    rows = features(pictures)  # type: ignore[arg-type]
    right = suite.answers(tasks, pictures, rows)
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
    suite: Suite, truth: ConceptTable, judged: SuiteResult, rows: Array, langs: Sequence[str]
) -> list[dict[str, Any]]:
    """One row a figure and language: ``measure``, ``lang``, value with its interval and number, and the judge's ``ceiling`` where it has one."""
    kinds = np.array([suite.tasks[t].kind for t in judged.tasks])
    found: list[dict[str, Any]] = []
    for lang in (*langs, *(("both",) if len(langs) > 1 else ())):
        mine = np.array([lang in (x, "both") for x in judged.langs])
        for measure, of, values, ceiling in (
            ("concept_top1", "concept", judged.places == 0, "concept_top1"),
            ("concept_top5", "concept", judged.places < 5, "concept_top5"),
            ("unseen_top1", "cell", judged.places == 0, "cell_top1"),
            ("unseen_top5", "cell", judged.places < 5, "cell_top5"),
            ("unseen_style", "cell", judged.right, "cell"),
            ("style", "style", judged.right, "style"),
            ("background", "ground", judged.right, "ground"),
            ("relation", "relation", judged.right, "relation"),
            ("count", "count", judged.right, "count"),
            ("colour", "colour", judged.right, "colour"),
        ):
            where = mine & (kinds == of)
            if where.any():
                found.append(
                    {"measure": measure, "lang": lang}
                    | metrics.mean_of([values[where].astype(float)]).as_data()
                    | ({"ceiling": suite.ceiling[ceiling]} if ceiling in suite.ceiling else {})
                )
        alone = mine & (kinds == "cell")
        if alone.any():
            found.append(
                {"measure": "unseen_distance", "lang": lang}
                | metrics.mean_of([np.sqrt(judged.own[alone])]).as_data()
                | {"near": suite.near**0.5}
            )
            found.append(
                {"measure": "unseen_copies", "lang": lang}
                | metrics.mean_of([judged.copied[alone].astype(float)]).as_data()
            )
            true = np.stack(
                [
                    truth.known[suite.tasks[t].thing, suite.tasks[t].style]
                    for t, w in zip(judged.tasks, alone, strict=True)
                    if w
                ]
            )
            if len(true) >= 2:
                scale = rows.shape[1] ** 0.5  # the kernel divides by the width; these features have unit length
                found.append(
                    {"measure": "unseen_kid", "lang": lang} | metrics.kid(rows[alone] * scale, true * scale).as_data()
                )
        seen = mine & np.isin(kinds, ("concept", "style"))
        if seen.any():
            found.append(
                {"measure": "copies", "lang": lang} | metrics.mean_of([judged.copied[seen].astype(float)]).as_data()
            )
    return found


def pack(path: Path, tasks: Sequence[Task], known: Array, told: Mapping[str, Any]) -> int:
    """Write the file; ``told`` are the other fields of ``Suite`` as JSON. Returns its bytes."""
    from safetensors.numpy import save

    from engine.contract.files import replacing

    mean = known.mean(0).astype(np.float16)
    codes = np.clip(np.rint((known - mean.astype(np.float32)) / STEP), -127, 127).astype(np.int8)
    packed = lzma.compress(np.ascontiguousarray(codes.T).tobytes(), preset=9 | lzma.PRESET_EXTREME)
    header = dict(told) | {
        "shape": list(known.shape),
        "step": STEP,
        "tasks": [asdict(t) | {"prompts": dict(t.prompts)} for t in tasks],
    }
    data = save(
        {"codes": np.frombuffer(packed, np.uint8), "mean": mean}, {"suite": json.dumps(header, ensure_ascii=False)}
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
            told = json.loads((file.metadata() or {})["suite"])
            codes, mean = file.get_tensor("codes"), file.get_tensor("mean").astype(np.float32)
        count, width = (int(n) for n in told["shape"])
        if not 0 < count * width <= _MOST or mean.shape != (width,):
            raise ValueError("its shape makes no sense")
        raw = lzma.LZMADecompressor(memlimit=256 << 20).decompress(codes.tobytes(), count * width + 1)
        if len(raw) != count * width:
            raise ValueError("its codes are not as many as they should be")
        known = np.frombuffer(raw, np.int8).reshape(width, count).T.astype(np.float32) * np.float32(told["step"]) + mean
        tasks = tuple(_task(t, count) for t in told["tasks"])
        return Suite(
            tasks,
            known,
            np.array(told["grounds"], np.float32).reshape(-1, 3),
            {str(k): float(v) for k, v in told["ceiling"].items()},
            float(told["near"]),
            frozenset((int(t), int(s)) for t, s in told["heldout"]),
            str(told["vocabulary"]),
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
        raise ValueError("a task makes no sense")
    style = data.get("style")
    return Task(
        kind=str(data["kind"]),
        prompts={str(k): str(v) for k, v in data["prompts"].items()},
        thing=int(data["thing"]),
        style=None if style is None else int(style),
        rows=(start, stop),
        right=int(data["right"]),
    )
