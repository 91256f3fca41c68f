"""Last stage: a diffusers pipeline folder out of the trained parts, with card, licences and attribution."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

from engine.contract.files import rename
from trainer.mini import denoiser, text, vae
from trainer.mini.captions import NUMBERS, TABLES, TAILS
from trainer.mini.packages import NAMES, STYLES
from trainer.mini.pictures import COLOURS, GROUNDS
from trainer.mini.things import things

FEATURES = ("concepts.safetensors", "suite.safetensors")
MEASURED = "evaluation.json"
NOTES = "notes.md"  # in the work folder: what its maker has to tell of a run, such as time, hardware and losses
INDEX = {
    "_class_name": "PixArtSigmaPipeline",
    "_diffusers_version": "0.42.1",
    "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
    "text_encoder": ["transformers", "LlamaForCausalLM"],
    "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
    "transformer": ["diffusers", "PixArtTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def vocabulary() -> dict[str, list[str]]:
    """What the model was taught: names, styles, colours, numbers and relations.

    And the small words of the caption templates.
    """
    known = [n for t in things() for n in (*t.en, *t.ja)]
    known += [w for s in STYLES for w in (*s.en, *s.ja)]
    known += [
        w
        for _, en, ja in (*GROUNDS.values(), *COLOURS.values())
        for w in (*en, *ja, *(f"{j}色" for j in ja if len(j) == 1))
    ]
    known += [j.removesuffix("色") for _, _, ja in COLOURS.values() for j in ja] + [
        w.split()[0] for s in STYLES for w in s.en
    ]
    known += [w for table in NUMBERS.values() for words in table.values() for w in words]
    known += [f"{k}つ" for words in NUMBERS["ja"].values() for k in words]
    known += [
        "left",
        "right",
        "above",
        "below",
        "under",
        "over",
        "top",
        "bottom",
        "左",
        "右",
        "上",
        "下",
        "左側",
        "右側",
    ]
    templates = [t for table in TABLES for lang in ("en", "ja") for t in table[lang]] + [
        t for tails in TAILS.values() for t in tails.values()
    ]
    small = {
        w for t in templates for w in re.findall(r"[a-zA-Z]+|[\u3040-\u30ff\u4e00-\u9fff]+", re.sub(r"\{\w+\}", " ", t))
    }
    # a particle that leads a piece of a template is a word of its own: の絵の具 is の + 絵の具, not の絵 + の具
    small = {re.sub("^[のをでに](?=..)", "", w).lower() for w in small}
    small |= {
        "a",
        "an",
        "and",
        "the",
        "of",
        "in",
        "on",
        "with",
        "の",
        "に",
        "は",
        "を",
        "で",
        "と",
        "です",
        "背景",
        "絵",
        "が",
        "も",
        "へ",
        "や",
        "から",
        "まで",
        "描いて",
        "ください",
        "イラスト",
        "アイコン",
        "画像",
        "いる",
        "ある",
        "色",
        "つ",
        "個",
        "枚",
        "匹",
        "いろ",
        "please",
        "draw",
        "me",
        "some",
        "picture",
    }
    return {"known": sorted(set(known)), "small": sorted(small - set(known))}


def base(work: Path, former: Path | None) -> Path:
    """``work/base``: the trained autoencoder and text encoder with the denoiser of ``former``, or an untrained one, for
    the trainer to start from.

    Of the autoencoder the second half need not be trained yet: it takes no part in the training.
    """
    folder = work / "base"
    if not (folder / "model_index.json").is_file():
        aside = folder.with_name("base.part")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        _parts(work, aside, former, decoder=False)
        if former:
            shutil.copytree(former / "transformer", aside / "transformer")
        else:
            denoiser.build().half().save_pretrained(aside / "transformer")
        rename(aside, folder)
    return folder


def _parts(work: Path, folder: Path, former: Path | None, *, decoder: bool) -> None:
    """Everything but the denoiser.

    Half precision on disk: the rounding is far below the model's own error, and the download is half as large.
    """
    from diffusers import DPMSolverMultistepScheduler

    if former is None:
        raise SystemExit("the autoencoder grows out of a smaller one: name a model folder with --from")
    vae.trained(work, vae.load_small(former), decoder=decoder).half().save_pretrained(folder / "vae")
    text.trained(work).half().save_pretrained(folder / "text_encoder")
    shutil.copytree(work / "tokenizer", folder / "tokenizer")
    DPMSolverMultistepScheduler(**denoiser.SCHEDULER).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(INDEX, indent=1) + "\n", encoding="utf-8")


def assemble(work: Path, out: Path, former: Path | None, rows: list[dict[str, str]]) -> None:
    """Write the model folder; what is there already is replaced only when all parts are ready."""
    aside = out.with_name(out.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    _parts(work, aside, former, decoder=True)
    trained = work / denoiser.NAME / denoiser.NAME
    shutil.copytree(trained / "transformer", aside / "transformer")  # its header names what it learned from
    for beside in (*trained.glob("gate-report*.json"), *trained.glob("bom*.json")):
        shutil.copyfile(beside, aside / beside.name)
    (aside / "vocabulary.json").write_text(
        json.dumps(vocabulary(), ensure_ascii=False, indent=0) + "\n", encoding="utf-8"
    )
    with (aside / "ATTRIBUTION.csv").open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    licenses = Path(__file__).resolve().parents[2] / "resources" / "licenses"
    shutil.copytree(licenses, aside / "LICENSES")
    at = denoiser.newest(work)
    recipe = denoiser.config(work)
    measured = work / MEASURED  # by an evaluation of the model assembled before: assemble, evaluate, assemble
    result = json.loads(measured.read_text(encoding="utf-8")) if measured.is_file() else None
    notes = work / NOTES
    told = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    (aside / "README.md").write_text(
        card(rows, (at[0] if at else recipe.schedule.steps) * recipe.batch.size, result, told), encoding="utf-8"
    )
    for name in FEATURES:  # of the true renders, which no training changes; the evaluation compares with them
        if (out / name).is_file():
            shutil.copyfile(out / name, aside / name)
    if out.exists():
        shutil.rmtree(out)
    rename(aside, out)


#: measure of the suite -> words of the card
MEASURES = {
    "concept_top1": "thing, nearest of all",
    "concept_top5": "thing, among the nearest five",
    "unseen_top5": "thing in a style it was never shown in, among the nearest five",
    "style": "style",
    "unseen_style": "style, never shown of the thing",
    "background": "background colour",
    "relation": "arrangement of two things (chance 25 %)",
    "count": "number (chance 25 %)",
    "colour": "colour of the thing (chance 17 %)",
    "unseen_copies": "copies of training pictures, of things in unseen styles",
    "unseen_distance": "feature distance to held-out true pictures",
}


def figures(result: dict[str, Any] | None) -> str:
    """The suite's figures as a table, from what ``trainer.evaluation`` answered.

    A sentence where nothing has been measured.
    """
    rows = ((result or {}).get("suite") or {}).get("figures") or []
    if not rows:
        return "Not measured yet."
    by = {(r["measure"], r["lang"]): r for r in rows}
    lines = ["| held out from training | Japanese | English | judge on true pictures |", "| --- | --- | --- | --- |"]
    for measure, words in MEASURES.items():
        found = [by.get((measure, lang)) for lang in ("ja", "en")]
        if not all(found):
            continue
        share = measure != "unseen_distance"
        told = [f"{100 * f['value']:.1f} % ({f['n']})" if share else f"{f['value']:.3f} ({f['n']})" for f in found if f]
        ceiling = (found[0] or {}).get("ceiling")
        near = (found[0] or {}).get("near")
        last = f"{100 * ceiling:.1f} %" if ceiling is not None else f"within {near:.3f}" if near is not None else ""
        lines.append(f"| {words} | {' | '.join(told)} | {last} |")
    steps = (result or {}).get("recipe", {})
    return "\n".join(lines) + (
        f"\n\n{steps.get('steps', 20)} steps, guidance {steps.get('guidance', 4.5)}; in brackets the number of "
        f"pictures."
    )


def card(rows: list[dict[str, str]], samples: int, result: dict[str, Any] | None = None, notes: str = "") -> str:
    """The model card; ``samples`` is how many the denoiser saw in this recipe, ``result`` an evaluation's answer,
    ``notes`` what the maker tells of the run.
    """
    template = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    table = "\n".join(
        f"| {s.package.name} {s.package.version} | {s.creator} | {s.license} | "
        f"{sum(r['package'].startswith(s.package.name + '@') for r in rows)} |"
        for s in STYLES
    )
    styles = "\n".join(f"- {', '.join(s.en)} / {'、'.join(s.ja)}" for s in STYLES)
    return template.format(
        things=f"{len(things()):,}",
        styles=styles,
        table=table,
        names=f"{NAMES.name} {NAMES.version}",
        grounds=", ".join(f"{en[0]} / {ja[0]}" for _, en, ja in GROUNDS.values()),
        colours=", ".join(f"{en[0]} / {ja[0]}" for _, en, ja in COLOURS.values()),
        encoder_samples=f"{vae.STEPS['encoder'] * vae.BATCH:,}",
        decoder_samples=f"{vae.STEPS['decoder'] * vae.BATCH:,}",
        text_steps=f"{text.STEPS:,}",
        text_batch=text.BATCH,
        notes=f"\n{notes.strip()}\n" if notes.strip() else "",
        denoiser_samples=f"{samples:,}",
        figures=figures(result),
    )
