"""``python -m trainer.mini.suite MODEL --work DIR``: write ``concepts.safetensors`` and ``suite.safetensors`` beside
the model.

What is asked: prompts by templates that training never showed, of things in styles, pairs, numbers and colours that are
held out (see ``heldout``). True pictures are composed of the same icons as in training.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainer.evaluation import suite as suites
from trainer.evaluation import truth as truths
from trainer.evaluation.features import features
from trainer.evaluation.suite import Suite, Task
from trainer.mini import heldout
from trainer.mini.captions import LANGS, RELATIONS, Facts, caption
from trainer.mini.export import Icons
from trainer.mini.packages import STYLES
from trainer.mini.pictures import COLOURS, GROUNDS, on_ground
from trainer.mini.scenes import hue_of, recoloured, scene
from trainer.mini.things import EVERYDAY, Thing, things

ASKED = {"concept": 200, "cell": 100, "style": 80, "ground": 64, "relation": 64, "count": 64, "colour": 48}
WHITE = (255, 255, 255)
Question = tuple[Task, list[np.ndarray]]  # with the candidates' pictures, uint8 RGB


def usual(thing: Thing) -> dict[str, tuple[str, ...]]:
    """Its most usual name in each language."""
    return {lang: thing.names(lang)[:1] for lang in LANGS}


def prompts(facts: Facts, key: str) -> dict[str, str]:
    """By the held-out template, in both languages."""
    return {lang: caption(facts, lang, random.Random(f"suite {key}"), heldout=True) for lang in LANGS}


def white(rgba: np.ndarray) -> np.ndarray:
    return on_ground(rgba, WHITE)


def alone(icons: Icons, known: list[Thing], rng: random.Random) -> Iterator[Question]:
    """Things, things in styles they were never shown in, styles, grounds."""
    for thing in rng.sample(known, min(ASKED["concept"], len(known))):
        yield (
            Task(
                kind="concept", prompts=prompts(Facts(names=(usual(thing),)), f"concept {thing.hex}"), thing=thing.index
            ),
            [],
        )
    cells = [t for t in known if heldout.cell(t) is not None]
    for thing in rng.sample(cells, min(ASKED["cell"], len(cells))):
        yield _styled(icons, thing, heldout.cell(thing) or 0, "cell")
    four = [t for t in known if len(t.styles) == len(STYLES)]
    for thing in rng.sample(four, min(ASKED["style"], len(four))):
        yield _styled(icons, thing, rng.choice(heldout.styles(thing)), "style")
    grounds = list(GROUNDS)
    free = [
        t for t in known if all(_corners(icons.of(t, s)) for s in t.styles)
    ]  # of a thing that fills the picture no ground is seen
    for n, thing in enumerate(rng.sample(free, min(ASKED["ground"], len(free)))):
        ground = grounds[n % len(grounds)]
        yield (
            Task(
                kind="ground",
                prompts=prompts(Facts(names=(usual(thing),), ground=ground), f"ground {thing.hex}"),
                thing=thing.index,
                right=grounds.index(ground),
            ),
            [],
        )


def _corners(rgba: np.ndarray) -> bool:
    """Are three of the four corners see-through?"""
    n = len(rgba) // 12
    return sum(int(c[..., 3].max()) < 16 for c in (rgba[:n, :n], rgba[:n, -n:], rgba[-n:, :n], rgba[-n:, -n:])) >= 3


def _styled(icons: Icons, thing: Thing, style: int, kind: str) -> Question:
    facts = Facts(names=(usual(thing),), style=style)
    return (
        Task(kind=kind, prompts=prompts(facts, f"{kind} {thing.hex}"), thing=thing.index, style=style, right=style),
        [white(icons.of(thing, s)) for s in range(len(STYLES))],
    )


def composed(icons: Icons, known: list[Thing], rng: random.Random) -> Iterator[Question]:
    """Arrangements of pairs never shown together, numbers and colours never shown of a thing."""
    everyday = [t for t in known if t.index < EVERYDAY and len(t.styles) == len(STYLES)]
    places = [(r, swap) for r in RELATIONS for swap in (False, True)]
    asked = 0
    while asked < ASKED["relation"] and len(everyday) > 1:
        first, second = rng.sample(everyday, 2)
        if not heldout.pair(first, second) and len(everyday) > 50:
            continue
        style, relation = rng.randrange(len(STYLES)), RELATIONS[asked % 2]
        pair = [icons.of(first, style), icons.of(second, style)]
        yield (
            Task(
                kind="relation",
                thing=first.index,
                style=style,
                right=places.index((relation, False)),
                prompts=prompts(
                    Facts(names=(usual(first), usual(second)), style=style, relation=relation),
                    f"pair {first.hex} {second.hex}",
                ),
            ),
            [white(scene(pair[::-1] if swap else pair, r)) for r, swap in places],
        )
        asked += 1
    counted = [(t, n) for t in everyday for n in (2, 3, 4) if heldout.count(t, n)] or [(t, 2) for t in everyday]
    for thing, number in rng.sample(counted, min(ASKED["count"], len(counted))):
        style = rng.randrange(len(STYLES))
        icon = icons.of(thing, style)
        yield (
            Task(
                kind="count",
                thing=thing.index,
                style=style,
                right=number - 1,
                prompts=prompts(Facts(names=(usual(thing),), style=style, count=number), f"count {thing.hex}"),
            ),
            [white(icon), *(white(scene([icon], n)) for n in (2, 3, 4))],
        )
    names = list(COLOURS)
    tinted = [
        (t, s, c, hue)
        for t in everyday
        for s in t.styles
        if (hue := hue_of(icons.of(t, s)))
        for c in names
        if heldout.colour(t, c) and c != hue.name
    ]
    for thing, style, colour, hue in rng.sample(tinted, min(ASKED["colour"], len(tinted))):
        yield (
            Task(
                kind="colour",
                thing=thing.index,
                style=style,
                right=names.index(colour),
                prompts=prompts(Facts(names=(usual(thing),), style=style, colour=colour), f"colour {thing.hex}"),
            ),
            [white(recoloured(icons.of(thing, style), hue, c)) for c in names],
        )


def questions(icons: Icons, known: list[Thing]) -> list[Question]:
    """All of them, the same every time."""
    rng = random.Random("suite")
    return [*alone(icons, known, rng), *composed(icons, known, rng)]


def make(out: Path, icons: Icons, known: list[Thing], through: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """Write both files into the model folder ``out``; returns the ceilings.

    ``known`` are the things of the model, its classes in their order; ``through`` sends uint8 RGB ``[n, h, w, 3]``
    through the model's autoencoder.

    Raises:
        SystemExit: the model has no ``vocabulary.json``.
    """
    vocabulary = truths.vocabulary_hash(out)
    if vocabulary is None:
        raise SystemExit(f"{out} has no vocabulary.json")
    truths.write_concept_table(out / truths.FILE, known, lambda t, s: white(icons.of(t, s)), vocabulary)
    truth = truths.concept_table_of(out)
    assert truth is not None
    asked = questions(icons, known)
    tasks: list[Task] = []
    pictures: list[np.ndarray] = []
    for task, candidates in asked:
        tasks.append(
            Task(
                **{f: getattr(task, f) for f in ("kind", "prompts", "thing", "style", "right")},
                rows=(len(pictures), len(pictures) + len(candidates)),
            )
        )
        pictures += candidates
    rows = features(pictures)  # type: ignore[arg-type]
    cells = [(t.index, heldout.cell(t)) for t in known if heldout.cell(t) is not None]
    told: dict[str, Any] = {
        "grounds": [list(g[0]) for g in GROUNDS.values()],
        "heldout": cells,
        "vocabulary": vocabulary,
        "ceiling": {},
        "near": 0.0,
    }
    draft = Suite(tuple(tasks), rows, np.array(told["grounds"], np.float32), {}, 0.0, frozenset(), vocabulary, "")
    true, numbers = [], []
    for n, (task, (_, candidates)) in enumerate(zip(tasks, asked, strict=True)):
        thing = known[task.thing]
        if candidates:
            true.append(candidates[task.right])
        else:
            ground = list(GROUNDS.values())[task.right][0] if task.kind == "ground" else WHITE
            true.append(on_ground(icons.of(thing, thing.styles[0]), ground))
        numbers.append(n)
    again = np.concatenate([through(np.stack(true[i : i + 32])) for i in range(0, len(true), 32)])
    judged, seen = suites.score(draft, truth, numbers, ["en"] * len(numbers), list(again))
    moved = ((seen - features(true)) ** 2).sum(1)  # type: ignore[arg-type]
    single = np.array([t.kind in ("concept", "cell", "style") for t in tasks])
    told["near"] = float(np.quantile(moved[single], 0.95))
    for kind in suites.KINDS:
        of = np.array([t.kind == kind for t in tasks])
        if of.any() and kind != "concept":
            told["ceiling"][kind] = round(float(judged.right[of].mean()), 4)
        if of.any() and kind in ("concept", "cell"):
            told["ceiling"] |= {f"{kind}_top{k}": round(float((judged.places[of] < k).mean()), 4) for k in (1, 5)}
    suites.pack(out / suites.FILE, tasks, rows, told)
    return dict(told["ceiling"]) | {"near": told["near"]}


def main() -> None:
    from trainer.mini import vae
    from trainer.mini.__main__ import icons

    parser = argparse.ArgumentParser(prog="python -m trainer.mini.suite", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--work", type=Path, default=Path("outputs/mini"), help="where packages and icons are kept")
    args = parser.parse_args()
    from diffusers import AutoencoderKL

    coder = (
        AutoencoderKL.from_pretrained(args.model / "vae", local_files_only=True, use_safetensors=True).float().eval()
    )
    drawn, _ = icons(args.work)
    print(make(args.model, drawn, list(things()), lambda rgb: vae.reconstruct(coder, rgb)))


if __name__ == "__main__":
    main()
