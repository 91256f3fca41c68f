"""The result of a run: weights in standard formats, their documentation, and an installed copy found by name."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.checkpoint.lora_library import lora_folder
from engine.checkpoint.weights import sha256_file
from engine.contract.files import rename, sync_folder
from engine.contract.paths import home
from trainer.learn.artifacts import report
from trainer.learn.artifacts.write import write_beside
from trainer.learn.checkpoint import demand_room
from trainer.learn.prepare import RunInfo
from trainer.learn.save_weights import save_lora, save_model


@dataclass(frozen=True)
class Result:
    """A LoRA's file or a model's folder; ``installed`` is the copy that is found by name, if it was installed."""

    path: Path
    sha256: str
    installed: Path | None


def finish(
    out: Path, info: RunInfo, weights: dict[str, torch.Tensor], *, step: int, loss: float | None, heldout: float | None
) -> Result:
    """Write the weights with gate report, attribution, config, model card and bill of materials; install them.

    Raises:
        DiskFull, OutputFolder, OSError
    """
    config = info.config
    demand_room(out, 8 * sum(t.numel() for t in weights.values()))
    facts = {"training loss": loss, "held-out loss": heldout, "seed": config.seed, "learning rate": config.optimiser.lr}
    if config.kind == "lora":
        facts |= {"rank": config.lora.rank, "alpha": config.lora.alpha or config.lora.rank}
    lineage = info.lineage(
        steps=step,
        samples=step * config.batch.size * config.batch.accumulation,
        facts={k: v for k, v in facts.items() if v is not None},
    )
    if config.kind == "lora":
        path = out / f"{config.name}.safetensors"
        sha256 = save_lora(path, weights, config, lineage.header())
        beside = write_beside(out, lineage, [path])
        installed = install([path, *beside], lora_folder(), config.name) / path.name if config.install else None
        return Result(path, sha256, installed)
    path = out / config.name
    sha256 = save_model(path, weights, config, info.folder, lineage.header())
    write_beside(path, lineage, [path / "transformer" / "diffusion_pytorch_model.safetensors"])
    return Result(path, sha256, install([path], home() / "models", config.name) if config.install else None)


def install(files: list[Path], folder: Path, name: str) -> Path:
    """Copy a result to ``folder/name``, or ``name-2`` and so on if that is taken by something else; returns the folder.

    A folder with the same first file is the same result, installed before: it stays unchanged. The copy is made under a
    temporary name, then renamed.
    """
    first = files[0]
    number, target = 1, folder / name
    while target.exists():
        installed = (
            target / first.name if first.is_file() else target / "transformer" / "diffusion_pytorch_model.safetensors"
        )
        mine = first if first.is_file() else first / "transformer" / "diffusion_pytorch_model.safetensors"
        if installed.is_file() and sha256_file(installed) == sha256_file(mine):
            return target
        number += 1
        target = folder / f"{name}-{number}"
    temporary = folder / f".{target.name}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    if first.is_dir():
        shutil.copytree(first, temporary)
    else:
        temporary.mkdir(parents=True)
        for file in files:
            shutil.copyfile(file, temporary / file.name)
    rename(temporary, target)
    sync_folder(folder)
    return target


def write_summary(out: Path, info: RunInfo, history: list[tuple[int, float, float]], result: Result) -> Path:
    """Write ``report.html`` of the run; returns its path."""
    lineage = info.lineage()
    licences = ", ".join(f"{k}: {v}" for k, v in lineage.licences.items())
    facts = [
        ("Result", "結果", result.path.name),
        ("SHA-256", "SHA-256", result.sha256),
        ("Base model", "元のモデル", f"{info.folder.name} ({info.hashes['denoiser']})"),
        ("Training images", "学習に使った画像", str(len(info.collection.train))),
        ("Held-out images", "評価用に分けた画像", str(len(info.collection.heldout))),
        ("Licences", "ライセンス", licences),
        ("Dataset manifest", "データセットの一覧", lineage.dataset_sha256),
        ("Gate report", "ライセンス検査の記録", lineage.gate_report_sha256),
    ]
    if history:
        best = min(history, key=lambda x: x[2])
        facts.append(("Lowest held-out loss", "評価用の損失の最小値", f"{best[2]:.5f} ({best[0]})"))
    return report.write_report(out, info.config.name, facts, info.config.as_data())
