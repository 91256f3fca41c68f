"""One model evaluated: its pictures drawn, looked at by the encoders, and put into figures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.backends.base import Backend
from engine.backends.factory import open_backend
from engine.checkpoint.library import open_model
from engine.checkpoint.lora import open_lora
from engine.contract.errors import BadFile, NothingToEvaluate, Phrase, TooFewToCompare
from engine.contract.provenance_policy import ProvenancePolicy
from engine.contract.version import APP
from engine.imagefile.image import read_pixels
from engine.provenance.finalize import ImageFinalizer
from engine.system.json_program import phrase
from trainer.evaluation import metrics, prompts
from trainer.evaluation import suite as suites
from trainer.evaluation.drawing import Settings, draw_items, seed_of, settled
from trainer.evaluation.encoder_base import Encoder
from trainer.evaluation.metrics import Array
from trainer.evaluation.prompts import LANGS, Item
from trainer.evaluation.recipe import VERSION, claim
from trainer.evaluation.store import ImageFeatures, features_of, picture_files
from trainer.evaluation.table import Scores, table_of
from trainer.evaluation.truth import ConceptTable, concept_table_of, vocabulary_hash

Tick = Callable[[int], None]
NAMED = 200  # things drawn by their bare names beside a suite, spread over all


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model as the user names it."""

    name: str
    loras: tuple[tuple[str, float], ...] = ()
    text_encoder: str | None = None
    vae: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    kind: str = "auto"

    def open(self) -> Backend:
        """Raises UnknownModel, UnknownLora, LoraForOther and what loading raises."""
        folder = open_model(self.name, self.text_encoder, self.vae)
        return open_backend(
            folder,
            kind=self.kind,
            device=self.device,
            dtype=self.dtype,
            loras=[open_lora(n, s, folder) for n, s in self.loras],
        )


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What to draw and how to judge it; the same for both models of a comparison."""

    prompts: Path | None = None
    langs: tuple[str, ...] = LANGS
    limit: int | None = None
    settings: Settings = field(default_factory=Settings)
    encoders: list[Encoder] = field(default_factory=list)
    reference: Path | None = None
    batch_size: int | None = None
    policy: ProvenancePolicy = field(default_factory=ProvenancePolicy)
    suite: Path | None = None  # a folder whose suite and true renders are taken instead of the model's own


@dataclass
class Reference:
    """The pictures to compare with: features by encoder name, and what stands in the result about them."""

    rows: dict[str, Array]
    told: dict[str, Any]
    skipped: list[dict[str, Any]]


@dataclass
class DrawnImages:
    """A model's pictures as files, before anything is measured."""

    items: list[Item]
    files: list[Path]
    settings: Settings
    truth: ConceptTable | None
    recipe: dict[str, Any]
    model: dict[str, Any]
    notes: list[Any]
    suite: suites.Suite | None = None


def reference_features(asked: EvaluationOptions, tick: Tick) -> Reference | None:
    """Features of the reference folder.

    Raises:
        BadFile: no such folder. TooFewToCompare: too few for any distance.
    """
    if asked.reference is None:
        return None
    if not asked.reference.is_dir():
        raise BadFile(path=asked.reference, why=Phrase("there is no such folder"))
    files = picture_files(asked.reference)
    least = {"least": metrics.LEAST_MMD, "least_fid": metrics.LEAST_FID}
    if len(files) < metrics.LEAST_MMD:
        raise TooFewToCompare(path=asked.reference, count=len(files), **least)
    rows: dict[str, Array] = {}
    seen: ImageFeatures | None = None
    for encoder in asked.encoders:
        seen = features_of(files, encoder, tick)
        if len(seen.files) < metrics.LEAST_MMD:
            raise TooFewToCompare(path=asked.reference, count=len(seen.files), **least)
        rows[encoder.name] = seen.rows
    assert seen is not None
    digest = hashlib.sha256(
        "\n".join(sorted(hashlib.sha256(f.read_bytes()).hexdigest() for f in seen.files)).encode()
    ).hexdigest()
    return Reference(
        rows,
        {"name": asked.reference.resolve().name, "sha256": digest, "n": len(seen.files), "skipped": len(seen.skipped)},
        seen.skipped,
    )


def pairs_of(
    asked: EvaluationOptions, truth: ConceptTable | None, suite: suites.Suite | None = None
) -> list[tuple[str, str]]:
    """The suite's prompts stand first in each language, in the order of ``Suite.limited``.

    Raises NothingToEvaluate: no prompts were given and the model brings no table of known things."""
    if asked.prompts is not None:
        return prompts.from_file(asked.prompts, asked.langs, asked.limit)
    if truth is None:
        raise NothingToEvaluate(
            why=Phrase(
                "no prompts were given, and this model has no concepts.safetensors that fits its vocabulary.json"
            )
        )
    if suite is not None:
        tasks = suite.limited(asked.limit)
        return [(lang, suite.tasks[t].prompts[lang]) for lang in asked.langs for t in tasks] + prompts.of_things(
            truth, asked.langs, asked.limit or NAMED
        )
    pairs = prompts.of_things(truth, asked.langs)
    if asked.limit is None:
        return pairs
    return [p for lang in asked.langs for p in [q for q in pairs if q[0] == lang][: asked.limit]]


def suite_of(asked: EvaluationOptions, root: Path) -> tuple[ConceptTable | None, suites.Suite | None]:
    """The true renders and the suite that belong to each other, of the model or of the folder asked for; prompts of one's own have no suite.

    Raises:
        BrokenWeights: a file is there, but damaged. NothingToEvaluate: a folder was asked for that has no suite.
    """
    folder = asked.suite or root
    truth = concept_table_of(folder)
    if asked.prompts is not None:
        return truth, None
    found = suites.read(folder / suites.FILE) if truth and (folder / suites.FILE).is_file() else None
    if found and (
        found.vocabulary != vocabulary_hash(folder) or any(t.thing >= len(truth.known) for t in found.tasks if truth)
    ):
        found = None
    if asked.suite and found is None:
        raise NothingToEvaluate(
            why=Phrase("{path} has no suite.safetensors that fits its vocabulary.json", path=folder)
        )
    return truth, found


def draw(
    model: Model,
    asked: EvaluationOptions,
    out: Path,
    start: Callable[[int], None],
    tick: Tick,
    fits: Callable[[dict[str, Any]], None] = lambda _: None,
) -> DrawnImages:
    """Draw (or find drawn) every picture into ``out/pictures``. ``start`` hears how many there will be; ``fits`` sees what will
    be recorded of the recipe before anything is drawn, and may refuse it.

    Raises:
        RunDiffers: ``out`` holds an evaluation by another recipe; and what opening and drawing raise.
    """
    # before the weights are read, which may take minutes
    truth, suite = suite_of(asked, open_model(model.name, model.text_encoder, model.vae).root)
    pairs = pairs_of(asked, truth, suite)
    items = prompts.items_of(pairs, asked.settings.copies, truth, suite.limited(asked.limit) if suite else ())
    start(len(items))
    backend = model.open()
    settings = settled(asked.settings, backend)
    recipe = {
        "prompts": prompts.hash_of_prompts(pairs),
        "langs": list(asked.langs),
        "dtype": backend.dtype,
        "preset": "exact",
        "format": "png",
    } | asdict(settings)
    told = {
        "name": backend.folder.name,
        "hashes": backend.hashes,
        "loras": backend.loras,
        "backend": backend.name,
        "device": backend.device,
        "libraries": backend.libraries(),
    }
    notes = [phrase(n) for n in backend.notes]
    fits({"recipe": recipe, "encoders": encoders_section(asked.encoders), "concepts": concepts_section(truth, items)})
    claim(out, recipe, told)
    seal = ImageFinalizer(asked.policy, lambda e: notes.append(phrase(Phrase(e.message, **e.fields))))
    try:
        files = draw_items(backend, items, settings, out / "pictures", seal, tick, asked.batch_size)
    finally:
        seal.close()
    return DrawnImages(items, files, settings, truth, recipe, told, notes, suite)


def measure(
    drawn: DrawnImages, asked: EvaluationOptions, reference: Reference | None, tick: Tick
) -> tuple[dict[str, Any], Scores]:
    """The result, JSON-ready, and the scores a picture that a comparison needs."""
    items, skipped = drawn.items, []
    places = np.full(len(items), -1)
    named = [i for i, item in enumerate(items) if item.thing is not None]
    if drawn.truth and named:
        for start in range(0, len(named), 64):
            some = named[start : start + 64]
            places[some] = drawn.truth.rank(
                [read_pixels(drawn.files[i]) for i in some], [items[i].thing or 0 for i in some]
            )
    cosines: dict[str, Array] = {}
    rows: dict[str, tuple[Array, list[int]]] = {}
    where = {f: i for i, f in enumerate(drawn.files)}
    for encoder in asked.encoders:
        seen = features_of(drawn.files, encoder, tick)
        skipped = seen.skipped
        whose = [where[f] for f in seen.files]
        rows[encoder.name] = (seen.rows, whose)
        if encoder.reads_text and len(whose):
            cosines[encoder.name] = np.full(len(items), np.nan)
            cosines[encoder.name][whose] = metrics.cosines(seen.rows, _words(encoder, [items[i].prompt for i in whose]))
    scores = Scores(items, places, cosines, rows)
    result: dict[str, Any] = {
        "commonart_evaluation": VERSION,
        "app": APP,
        "model": drawn.model,
        "recipe": drawn.recipe,
        "encoders": encoders_section(asked.encoders),
        "reference": reference.told if reference else None,
        "concepts": concepts_section(drawn.truth, items),
        "table": table_of(scores, reference.rows if reference else {}, asked.langs),
        "suite": suite_section(drawn, asked.langs),
        "skipped": skipped + (reference.skipped if reference else []),
        "notes": drawn.notes,
        "items": [
            {
                "lang": i.lang,
                "index": i.index,
                "copy": i.copy,
                "seed": seed_of(i, drawn.settings),
                "prompt": i.prompt,
                "file": f"pictures/{i.file}",
                "place": int(p) if p >= 0 else None,
                "cosines": {k: None if np.isnan(c[n]) else round(float(c[n]), 6) for k, c in cosines.items()},
            }
            for n, (i, p) in enumerate(zip(items, places, strict=True))
        ],
    }
    return result, scores


def suite_section(drawn: DrawnImages, langs: Sequence[str]) -> dict[str, Any] | None:
    """The suite's figures and, task by task, what was answered; None where the model has no suite."""
    if drawn.suite is None or drawn.truth is None:
        return None
    which = [n for n, item in enumerate(drawn.items) if item.task is not None]
    judged, rows = suites.judge(
        drawn.suite,
        drawn.truth,
        [drawn.items[n].task or 0 for n in which],
        [drawn.items[n].lang for n in which],
        [read_pixels(drawn.files[n]) for n in which],
    )
    return {
        "sha256": drawn.suite.sha256,
        "tasks": len(which),
        "figures": suites.figures(drawn.suite, drawn.truth, judged, rows, langs),
        "missed": {
            lang: [
                drawn.items[n].prompt
                for k, n in enumerate(which)
                if drawn.items[n].lang == lang and not _answered(drawn.suite, judged, k)
            ]
            for lang in langs
        },
    }


def _answered(suite: suites.Suite, judged: suites.SuiteResult, at: int) -> bool:
    kind = suite.tasks[judged.tasks[at]].kind
    return bool(judged.places[at] < 5) if kind in ("concept", "cell") else bool(judged.right[at])


def encoders_section(encoders: Sequence[Encoder]) -> list[dict[str, str]]:
    """What a result keeps of the encoders."""
    return [{"name": e.name, "sha256": e.sha256, "resizer": e.resizer} for e in encoders]


def concepts_section(truth: ConceptTable | None, items: Sequence[Item]) -> dict[str, Any] | None:
    """What a result keeps of the true renders, if any prompt names one of them."""
    return (
        {"things": len(truth.known), "sha256": truth.sha256}
        if truth and any(i.thing is not None for i in items)
        else None
    )


def _words(encoder: Encoder, texts: Sequence[str]) -> Array:
    """Each different text once."""
    once = list(dict.fromkeys(texts))
    rows = np.concatenate([encoder.texts(once[n : n + 64]) for n in range(0, len(once), 64)])
    at = {t: n for n, t in enumerate(once)}
    return rows[[at[t] for t in texts]]


def default_out(model: Model, asked: EvaluationOptions) -> Path:
    """A folder that the same question finds again."""
    key = json.dumps(
        [
            model.name,
            model.loras,
            str(asked.prompts),
            str(asked.suite),
            asked.langs,
            asked.limit,
            asdict(asked.settings),
            model.dtype,
        ],
        ensure_ascii=False,
    )
    name = Path(model.name).name or "model"
    return (
        Path("outputs")
        / "evaluation"
        / f"{name}-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    )
