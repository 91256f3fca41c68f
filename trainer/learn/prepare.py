"""Inputs of a run: the licence gate, the base model and the images; and whether a resumed run has the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint.describe import licence_of
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.library import open_model
from engine.contract.errors import RunDiffers
from engine.contract.files import replacing
from trainer.config import Config
from trainer.dataset.licence.gate import check
from trainer.dataset.licence.report import GateReport
from trainer.learn.artifacts.lineage import ATTRIBUTION, Lineage, Source
from trainer.learn.data.samples import Collection, collect

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a run is trained on, and what binds its result to that. ``reports``: the gate's, one per dataset folder."""

    config: Config
    folder: ModelFolder
    hashes: dict[str, str]  # of the base model's parts
    reports: tuple[GateReport, ...]
    collection: Collection

    def lineage(self, **facts: Any) -> Lineage:
        """The provenance that the result carries."""
        config = self.config
        sources = tuple(
            Source(
                name=Path(one.folder).name,
                manifest_sha256=r.manifest_sha256,
                gate_report_sha256=r.sha256,
                gate_report=r.path,
                attribution=r.path.parent / ATTRIBUTION,
                pictures=r.pictures,
                licences=r.licences,
                creators=r.creators,
                policy=str(r.policy.get("name", config.policy)),
            )
            for one, r in zip(config.dataset, self.reports, strict=True)
            if r.path is not None
        )
        licence = licence_of(self.folder.root)
        return Lineage(
            name=config.name,
            kind=config.kind,
            base_model=self.folder.name,
            base_model_sha256=self.hashes["denoiser"],
            base_licence=licence[0] if licence else "",
            sources=sources,
            licence=config.licence,
            config=json.dumps(config.as_data(), ensure_ascii=False, indent=1),
            config_sha256=config.sha256,
            trigger=config.lora.trigger if config.kind == "lora" else "",
            **facts,
        )

    def identity(self) -> dict[str, Any]:
        """Everything that must be the same for a run to be resumed."""
        return (
            self.config.bound()
            | {"dataset": self.lineage().dataset_sha256}
            | {f"base.{k}": v for k, v in self.hashes.items()}
        )


def check_dataset(config: Config, out: Path, progress: Progress) -> tuple[GateReport, ...]:
    """Run the licence gate over every folder, reading every byte; report and attribution go next to the result.

    Raises:
        GateClosed: an image may not be used for training; it is named.
    """
    out.mkdir(parents=True, exist_ok=True)
    reports = []
    for n, one in enumerate(config.dataset):
        folder = out if len(config.dataset) == 1 else out / "datasets" / str(n + 1)
        folder.mkdir(parents=True, exist_ok=True)
        report = check(
            Path(one.folder),
            config.policy,
            full=True,
            out=folder,
            progress=lambda done, total: progress("gate", done, total),
        )
        report.demand(Path(one.folder))
        reports.append(report)
    return tuple(reports)


def check_dataset_here(config: Config, progress: Progress) -> None:
    """Run the licence gate over this machine's copies of the folders; nothing is written.

    Raises:
        GateClosed: an image may not be used for training; it is named.
    """
    for one in config.dataset:
        check(
            Path(one.folder),
            config.policy,
            full=True,
            write=False,
            progress=lambda done, total: progress("gate", done, total),
        ).demand(Path(one.folder))


def open_base(config: Config) -> ModelFolder:
    """Locate the parts of the base model; no weights are read. Raises what ``open_model`` raises."""
    return open_model(config.base.model, config.base.text_encoder or None, config.base.vae or None)


def gather(config: Config, folder: ModelFolder, reports: tuple[GateReport, ...]) -> RunInfo:
    """Hash the model's parts and collect the images. Raises what ``collect`` raises."""
    return RunInfo(
        config=config, folder=folder, hashes=folder.hashes(), reports=reports, collection=_collect(config, folder)
    )


def _collect(config: Config, folder: ModelFolder) -> Collection:
    patch = (
        config.scratch.patch_size
        if config.kind == "scratch" and config.scratch.patch_size
        else int(folder.denoiser_config.get("patch_size", 2))
    )
    side = (
        config.scratch.sample_size * folder.vae_scale
        if config.kind == "scratch" and config.scratch.sample_size
        else folder.own_side
    )
    return collect(config, multiple=folder.vae_scale * patch, own_side=side)


def bind(out: Path, info: RunInfo, *, resume: bool) -> None:
    """Write ``run.json`` at the start of a run; compare with it when the run is resumed.

    Raises:
        RunDiffers: something that determines what is learned has changed; it is named.
    """
    path = out / "run.json"
    now = json.loads(json.dumps(info.identity()))
    if resume:
        try:
            before = json.loads(path.read_text(encoding="utf-8"))["identity"]
        except (OSError, ValueError, KeyError, TypeError):
            before = now
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                raise RunDiffers(path=out, key=key, before=before.get(key), now=now.get(key))
    with replacing(path) as f:
        f.write(
            (
                json.dumps(
                    {"version": 1, "identity": now, "config": info.config.as_data()}, ensure_ascii=False, indent=1
                )
                + "\n"
            ).encode("utf-8")
        )
