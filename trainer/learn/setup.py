"""Everything a run needs before its first step: options checked, dataset allowed, model located, features computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadValue, Phrase
from engine.sampling.schedule import Schedule
from trainer.config import Config
from trainer.learn import optim, trainable
from trainer.learn.data.batches import BatchSampler
from trainer.learn.data.feature_cache import FeatureCache
from trainer.learn.data.samples import TrainingImage
from trainer.learn.distributed.dataset_agreement import check_all_datasets, companions, compare
from trainer.learn.distributed.processes import Processes
from trainer.learn.distributed.sharding import Sharding
from trainer.learn.loss import Objective
from trainer.learn.prepare import RunInfo, bind, gather, open_base
from trainer.learn.previews import PreviewPainter
from trainer.learn.reporter import Reporter
from trainer.learn.save_weights import scheduler_config


@dataclass(frozen=True, kw_only=True)
class RunSetup:
    """What stays the same from a run's first step to its last."""

    info: RunInfo
    dtype: str  # that the model computes in
    steps: int
    objective: Objective
    batches: BatchSampler
    painter: PreviewPainter
    heldout: list[TrainingImage]  # images that the validation uses


def prepare_run(config: Config, out: Path, processes: Processes, reporter: Reporter, *, resume: bool) -> RunSetup:
    """Check the options, run the licence gate, bind the run to its inputs and fill the feature cache.

    Raises:
        BadValue, BadConfig: an option does not fit. GateClosed: an image may not be used for training.
        RunDiffers: a resumed run has other inputs. MachinesDiffer, and what reading models and images raises.
    """
    if config.batch.size * config.batch.accumulation < processes.world:
        raise BadValue(
            name="batch.size",
            value=config.batch.size,
            why=Phrase("it is smaller than the number of processes, {n}", n=processes.world),
        )
    # wrong options are reported before every byte of every image is read
    folder = open_base(config)
    trainable.architecture(config, folder)
    if config.kind == "lora":
        trainable.match_layers(config.lora.layers, folder.denoiser_config)
    optim.demand(config.optimiser, processes.device)
    dtype = processes.dtype(config.device.dtype)
    Sharding.of(config, dtype)
    # never skipped: the model does not read anything of a refused image
    reports = check_all_datasets(config, out, processes, reporter.progress)
    info = gather(config, folder, reports)
    compare(info, processes)
    if processes.first:
        bind(out, info, resume=resume)
    collection = info.collection
    schedule = Schedule.from_dict(scheduler_config(config, folder))
    objective = Objective(schedule, config.loss)
    features = FeatureCache(
        folder,
        device=processes.device,
        text_dtype=config.data.text_dtype,
        memory=config.data.memory_mb << 20,
        share=companions(processes),
    )
    batches = BatchSampler(config, collection.train, features, objective)
    painter = PreviewPainter(config.previews, folder, schedule, features, out / "previews")
    heldout = sorted(collection.heldout, key=lambda i: i.sha256)[: config.heldout.limit]
    captions = [c for i in [*collection.train, *heldout] for c in i.captions] + painter.texts() + [""]
    features.prepare(collection.train, captions, mirrored=config.data.flip > 0, progress=reporter.progress)
    features.prepare(heldout, [], mirrored=False, progress=reporter.progress)
    processes.wait()
    return RunSetup(
        info=info,
        dtype=dtype,
        steps=config.schedule.steps or max(1, round(config.schedule.epochs * batches.order.steps)),
        objective=objective,
        batches=batches,
        painter=painter,
        heldout=heldout,
    )
