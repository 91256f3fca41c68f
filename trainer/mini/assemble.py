"""Last stage: a diffusers pipeline folder out of the trained parts, with card, licences and attribution."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import torch

from trainer.mini import denoiser, text, vae
from trainer.mini.captions import BOTH, GROUNDED, PLAIN, STYLED
from trainer.mini.packages import NAMES, STYLES
from trainer.mini.pictures import GROUNDS, concepts

FEATURES = "concepts.safetensors"
INDEX = {
    "_class_name": "PixArtSigmaPipeline", "_diffusers_version": "0.42.1", "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
    "text_encoder": ["transformers", "LlamaForCausalLM"], "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
    "transformer": ["diffusers", "PixArtTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"]}


def vocabulary() -> dict[str, list[str]]:
    """What the model was taught: names, styles and colours; and the small words of the caption templates."""
    known = [n for c in concepts() for n in (*c.en, *c.ja)]
    known += [w for s in STYLES for w in (*s.en, *s.ja)]
    known += [w for _, en, ja in GROUNDS.values() for w in (*en, *ja)]
    templates = [t for table in (PLAIN, STYLED, GROUNDED, BOTH) for t in (*table["en"], *table["ja"])]
    small = {w for t in templates for w in re.findall(r"[a-z]+|[\u3040-\u30ff\u4e00-\u9fff]+", re.sub(r"\{\w+\}", " ", t))}
    # a particle that leads a piece of a template is a word of its own: の絵の具 is の + 絵の具, not の絵 + の具
    small = {re.sub("^[のをでに](?=..)", "", w) for w in small}
    small |= {"a", "an", "の", "に", "は", "を", "で", "と", "です", "背景", "絵", "が", "も", "へ", "や", "から", "まで", "描いて", "イラスト", "アイコン", "いる", "ある"}
    return {"known": sorted(set(known)), "small": sorted(small)}


def base(work: Path) -> Path:
    """``work/base``: the trained autoencoder and text encoder with an untrained denoiser, for the trainer to start from."""
    folder = work / "base"
    if not (folder / "model_index.json").is_file():
        aside = folder.with_name("base.part")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        _parts(work, aside)
        denoiser.build().half().save_pretrained(aside / "transformer")
        aside.rename(folder)
    return folder


def _parts(work: Path, folder: Path) -> None:
    """Everything but the denoiser; half precision on disk: the rounding is far below the model's own error, and the download is half as large."""
    from diffusers import DPMSolverMultistepScheduler

    empty = torch.zeros(0).numpy()
    trained = vae.train(empty, empty, work, steps=0)
    coder = vae.build(json.loads((work / "vae" / "factor.json").read_text(encoding="utf-8"))["factor"])
    coder.load_state_dict(trained.state_dict())
    coder.half().save_pretrained(folder / "vae")
    _, llm = text.train(work, steps=0)
    llm.half().save_pretrained(folder / "text_encoder")
    shutil.copytree(work / "tokenizer", folder / "tokenizer")
    DPMSolverMultistepScheduler(**denoiser.SCHEDULER).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(INDEX, indent=1) + "\n", encoding="utf-8")


def assemble(work: Path, out: Path, rows: list[dict[str, str]]) -> None:
    """Write the model folder; what is there already is replaced only when all parts are ready."""
    aside = out.with_name(out.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    _parts(work, aside)
    trained = work / denoiser.NAME / denoiser.NAME
    shutil.copytree(trained / "transformer", aside / "transformer")  # its header names what it learned from
    for beside in (*trained.glob("gate-report*.json"), *trained.glob("bom*.json")):
        shutil.copyfile(beside, aside / beside.name)
    (aside / "vocabulary.json").write_text(json.dumps(vocabulary(), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    with (aside / "ATTRIBUTION.csv").open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    licenses = Path(__file__).resolve().parents[2] / "resources" / "licenses"
    shutil.copytree(licenses, aside / "LICENSES")
    recipe = denoiser.config(work)
    (aside / "README.md").write_text(card(rows, recipe.schedule.steps * recipe.batch.size), encoding="utf-8")
    if (out / FEATURES).is_file():  # of the true renders, which no training changes; the evaluation compares with them
        shutil.copyfile(out / FEATURES, aside / FEATURES)
    if out.exists():
        shutil.rmtree(out)
    aside.rename(out)


def card(rows: list[dict[str, str]], samples: int) -> str:
    """The model card; ``samples`` is how many the denoiser saw."""
    template = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    table = "\n".join(f"| {s.package.name} {s.package.version} | {s.creator} | {s.license} | {sum(r['package'].startswith(s.package.name + '@') for r in rows)} |"
                      for s in STYLES)
    styles = "\n".join(f"- {', '.join(s.en)} / {'、'.join(s.ja)}" for s in STYLES)
    return template.format(concepts=len(concepts()), styles=styles, table=table, names=f"{NAMES.name} {NAMES.version}",
                           grounds=", ".join(f"{en[0]} / {ja[0]}" for _, en, ja in GROUNDS.values()),
                           vae_samples=f"{vae.STEPS * vae.BATCH:,}", text_samples=f"{text.STEPS * text.BATCH:,}",
                           denoiser_samples=f"{samples:,}")
