"""The exported folder: optimum's layout around the graphs, with the model's configs, tokenizer and licences.

The folder is written beside its final name as ``NAME.part-xxxxxxxx`` and renamed at the end. A lock inside
distinguishes a running export from one that died, so that the next run can remove what was left.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from engine.checkpoint.config_files import read_config
from engine.checkpoint.layout import TOKENIZER_FILES, ModelFolder
from engine.contract.errors import BadFile, ExportOut, Phrase, system_words
from engine.contract.files import as_our_error, make_folder, rename
from engine.contract.ledger.process_lock import ProcessLock

PARTS = ("text_encoder", "transformer", "vae_decoder", "vae_encoder")
#: Part of the export -> part of the model folder.
SOURCES = {"text_encoder": "text_encoder", "transformer": "denoiser", "vae_decoder": "vae", "vae_encoder": "vae"}
LOCK = ".export-lock"
_CLASSES = {
    "transformer": "ORTTransformer",
    "text_encoder": "ORTTextEncoder",
    "vae_decoder": "ORTVaeDecoder",
    "vae_encoder": "ORTVaeEncoder",
}
_LIBRARY = "optimum.onnxruntime.modeling_diffusion"
_LICENCE_FILES = re.compile(r"(licen[sc]e|copying|notice|attribution|licen[sc]es)\b", re.IGNORECASE)
_TOKENIZER_EXTRAS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")


def check_output(out: Path, model: ModelFolder) -> None:
    """Raises ExportOut: the path is taken, or is inside the model."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ExportOut(path=out, why=Phrase("it is not a folder"))
    if out.is_dir() and any(out.iterdir()):
        raise ExportOut(path=out, why=Phrase("it is not empty"))
    if any(above.exists() and not above.is_dir() for above in out.absolute().parents):
        raise ExportOut(path=out, why=Phrase("a part of its path is not a folder"))
    here = out.resolve()
    for part in {model.root, model.denoiser, model.text_encoder, model.tokenizer, model.vae}:
        if here == part.resolve() or part.resolve() in here.parents:
            raise ExportOut(path=out, why=Phrase("it lies in the model that is to be exported"))


def remove_stale(out: Path) -> None:
    """Remove what exports that died left beside ``out``."""
    if not out.parent.is_dir():
        return
    for part in out.parent.glob(f"{escape(out.name)}.part-????????"):
        lock = ProcessLock(part / LOCK)
        if part.is_dir() and not part.is_symlink() and lock.take():
            lock.drop()
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """A new folder beside ``out`` that is renamed to it at the end, or removed after an error.

    Raises:
        OutputFolder, DiskFull: it cannot be written there. ExportOut: the name was taken meanwhile.
    """
    remove_stale(out)
    make_folder(out.parent)
    part = out.with_name(f"{out.name}.part-{secrets.token_hex(4)}")
    lock = ProcessLock(part / LOCK)
    try:
        make_folder(part)
        lock.take()
        yield part
        lock.drop(remove=True)
        _sync(part)
        if out.is_dir():
            out.rmdir()  # only an empty one
        rename(part, out)
    except OSError as e:
        raise as_our_error(e, out) from e
    finally:
        lock.drop()
        if part.exists():
            shutil.rmtree(part, ignore_errors=True)


def _sync(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb+") as f:
                os.fsync(f.fileno())


def copy_model_files(model: ModelFolder, part: Path) -> None:
    """Configs, tokenizer, scheduler, vocabulary, licences and attribution of ``model`` into the staged folder.

    Raises:
        BadFile: one of them cannot be read.
    """
    try:
        _write_json(
            part / "transformer" / "config.json", model.denoiser_config | {"_class_name": "PixArtTransformer2DModel"}
        )
        for name in ("vae_decoder", "vae_encoder"):
            _write_json(part / name / "config.json", model.vae_config)
        _write_json(part / "text_encoder" / "config.json", model.text_config)
        (part / "tokenizer").mkdir()
        for name in (*TOKENIZER_FILES, *_TOKENIZER_EXTRAS):
            if (model.tokenizer / name).is_file():
                shutil.copyfile(model.tokenizer / name, part / "tokenizer" / name)
        if (part / "tokenizer.json").is_file():  # created from a SentencePiece model by the text encoder's stage
            rename(part / "tokenizer.json", part / "tokenizer" / "tokenizer.json", overwrite=True)
        if model.scheduler:
            (part / "scheduler").mkdir()
            shutil.copyfile(model.scheduler / "scheduler_config.json", part / "scheduler" / "scheduler_config.json")
        if (model.root / "vocabulary.json").is_file():
            shutil.copyfile(model.root / "vocabulary.json", part / "vocabulary.json")
        _copy_licences(model, part)
    except OSError as e:
        if e.errno is not None and e.filename2 is None and e.filename and str(part) not in str(e.filename):
            raise BadFile(path=e.filename, why=system_words(e)) from e
        raise as_our_error(e, part) from e


def _copy_licences(model: ModelFolder, part: Path) -> None:
    """Copy licences, notices and attribution: the model's own to the top, those of separate parts under their names."""
    targets = {model.root: part}
    for name, folder in (("text_encoder", model.text_encoder), ("vae", model.vae)):
        if model.root.resolve() not in folder.resolve().parents:
            targets.setdefault(folder, part / "parts" / name)
    for source, target in targets.items():
        for one in sorted(source.iterdir()):
            wanted = _LICENCE_FILES.match(one.name) or (one.name == "README.md" and target != part)
            if wanted and not one.is_symlink():
                target.mkdir(parents=True, exist_ok=True)
                if one.is_dir():
                    shutil.copytree(one, target / one.name, ignore=_links, copy_function=shutil.copyfile)
                elif one.is_file() and one.stat().st_size < 64 << 20:
                    shutil.copyfile(one, target / one.name)


def _links(folder: str, names: list[str]) -> list[str]:
    """Symbolic links may point outside the model: they are not followed."""
    return [name for name in names if Path(folder, name).is_symlink()]


def write_index(model: ModelFolder, part: Path) -> None:
    """Write ``model_index.json`` as optimum's pipelines read it."""
    original = read_config(model.root / "model_index.json") if (model.root / "model_index.json").is_file() else {}
    tokenizer = (
        read_config(model.tokenizer / "tokenizer_config.json")
        if (model.tokenizer / "tokenizer_config.json").is_file()
        else {}
    )
    default = "T5TokenizerFast" if model.pixart_text else "PreTrainedTokenizerFast"
    index = {
        "_class_name": str(original.get("_class_name", "PixArtSigmaPipeline")),
        "_diffusers_version": str(original.get("_diffusers_version", "0.42.1")),
        "scheduler": original.get("scheduler", ["diffusers", "DPMSolverMultistepScheduler"]),
        "tokenizer": original.get("tokenizer", ["transformers", tokenizer.get("tokenizer_class") or default]),
    }
    _write_json(part / "model_index.json", index | {name: [_LIBRARY, kind] for name, kind in _CLASSES.items()})
    if model.scheduler is None:  # the model has none: write the defaults that are used, for other tools
        _write_json(
            part / "scheduler" / "scheduler_config.json",
            {
                "_class_name": "DPMSolverMultistepScheduler",
                "num_train_timesteps": 1000,
                "beta_start": 1e-4,
                "beta_end": 0.02,
                "beta_schedule": "linear",
                "prediction_type": "epsilon",
                "algorithm_type": "dpmsolver++",
                "solver_order": 2,
                "solver_type": "midpoint",
                "timestep_spacing": "linspace",
                "lower_order_final": True,
            },
        )


def write_card(model: ModelFolder, part: Path, about: dict[str, Any], parity: dict[str, Any]) -> None:
    """Write the model's card with a section on this export."""
    try:
        card = (model.root / "README.md").read_text(encoding="utf-8", errors="replace")[: 1 << 20].rstrip() + "\n"
    except OSError:
        card = f"# {model.name}\n"
    rows = "\n".join(
        f"| {p['part']} | {p['dtype']} | {max(r['rms'] for r in p['rows']):.1e} |" for p in parity["parts"]
    )
    loras = "".join(f"\n- LoRA merged in: {x['name']} at {x['scale']}, SHA-256 `{x['sha256']}`" for x in about["loras"])
    images = parity["pictures"]
    share = (
        f"; {images['changed_share']:.0%} of the images are nearer to another one's PyTorch image than to their own"
        if about["quantize"] == "int8"
        else ""
    )
    (part / "README.md").write_text(
        card
        + f"""
## This ONNX export

Exported by {about["app"]} from `{about["model"]}` as {about["dtype"]}, quantize {about["quantize"]}.
Files and their SHA-256: `commonart_export.json`.
{"".join(f"{chr(10)}- source {k}: SHA-256 `{v}`" for k, v in about["hashes"].items())}{loras}

| graph | dtype | largest relative RMS error against PyTorch |
| --- | --- | --- |
{rows}

{len(images["rows"])} images from the same latents: at least {images["least_psnr"]:.1f} dB against PyTorch
fp32{share}. All figures: `parity.json`.
""",
        encoding="utf-8",
    )


def _write_json(file: Path, data: dict[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(data, ensure_ascii=False, indent=2), encoding="utf-8")
