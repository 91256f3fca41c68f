"""Training speed and peak memory against a plain loop in the style of diffusers' examples: ``python -m
benchmarks.training [--json]``.

Both learn from the same pictures, captions, noise and timesteps, in the same batches and dtype, with the same
optimiser; the plain loop encodes pictures and captions in every step and runs diffusers' ``PixArtTransformer2DModel``
on padded captions. Each round trains both from the same start, in turns; losses are compared step by step. Fails under
2 times, or if losses part.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WANTED = 2.0  # times the plain loop
CLOSE = 0.02  # of the loss, relative, on the mean of a run


def make_data(folder: Path, count: int) -> Path:
    """Drawn pictures of 64 px with captions in both languages."""
    sys.path.insert(0, str(ROOT))
    from tests.support.images import make_dataset

    return make_dataset(folder, count, size=64)


def configuration(work: Path, kind: str, model: str, steps: int, batch: int) -> Any:
    """What both do."""
    from trainer.config_file import read_config

    path = work / f"{kind}.toml"
    path.write_text(
        f'kind = "{kind}"\noutput = "{kind}"\n[base]\nmodel = {json.dumps(model)}\n[[dataset]]\n'
        f'folder = "data"\n[lora]\nrank = 16\n'
        f'[schedule]\nsteps = {steps}\nkind = "constant"\nwarmup = 0\n[batch]\n'
        f"size = {batch}\n[optimiser]\nlr = 1e-4\n[data]\nbuckets = false\n"
        'latents = "mode"\nheldout = 0.0\n[loss]\nmin_snr = 0.0\n[log]\ntensorboard = false\n',
        encoding="utf-8",
    )
    return read_config(path)


def ours(work: Path, kind: str, model: str, steps: int, batch: int, device: str) -> dict[str, Any]:
    """Our step loop, features cached before: what each step after the first takes, and its loss."""
    import torch

    from engine.sampling.schedule import Schedule
    from trainer.learn.data.batches import BatchSampler
    from trainer.learn.data.feature_cache import FeatureCache
    from trainer.learn.distributed.processes import Processes
    from trainer.learn.loss import Objective
    from trainer.learn.prepare import gather, open_base
    from trainer.learn.save_weights import scheduler_config
    from trainer.learn.train_state import TrainState

    config = configuration(work, kind, model, steps, batch)
    info, processes = gather(config, open_base(config), ()), Processes(device)
    objective = Objective(Schedule.from_dict(scheduler_config(config, info.folder)), config.loss)
    features = FeatureCache(info.folder, device=processes.device, text_dtype="auto", memory=1 << 30)
    began = time.perf_counter()
    features.prepare(
        info.collection.train, [c for i in info.collection.train for c in i.captions] + [""], mirrored=False
    )
    cached = time.perf_counter() - began
    rows = BatchSampler(config, info.collection.train, features, objective)
    subject = TrainState(config, info.folder, objective, processes, "fp32", lambda micro: None)
    times, losses = [], []
    for step in range(steps):
        began = time.perf_counter()
        losses.append(subject.stepper.gradients(rows.of(step, 0, 0, 1), batch))
        subject.stepper.update(config.optimiser.lr)
        if processes.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    rows.close()
    return {"times": times, "losses": losses, "cache_seconds": cached}


def plain(work: Path, kind: str, model: str, steps: int, batch: int, device: str) -> dict[str, Any]:
    """The same learning, written the usual way."""
    import torch
    from diffusers import AutoencoderKL, PixArtTransformer2DModel
    from diffusers.utils import logging
    from torch.nn import functional as F
    from transformers import AutoModel, AutoTokenizer

    from engine.sampling.schedule import Schedule
    from trainer.learn import trainable
    from trainer.learn.data import counter_rng
    from trainer.learn.data.batches import BatchSampler, choose_caption
    from trainer.learn.data.feature_cache import fitted
    from trainer.learn.loss import Objective
    from trainer.learn.prepare import gather, open_base
    from trainer.learn.save_weights import scheduler_config

    logging.set_verbosity_error()
    config = configuration(work, kind, model, steps, batch)
    info = gather(config, open_base(config), ())
    folder, items = info.folder, info.collection.train
    where = torch.device(
        "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
    )
    vae = AutoencoderKL.from_pretrained(folder.vae, torch_dtype=torch.float32).to(where).requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(folder.tokenizer)
    encoder = AutoModel.from_pretrained(folder.text_encoder, dtype=torch.float32).to(where).requires_grad_(False)
    transformer = PixArtTransformer2DModel.from_pretrained(folder.denoiser, torch_dtype=torch.float32).to(where)
    if kind == "lora":
        import re

        from peft import LoraConfig, inject_adapter_in_model

        transformer.requires_grad_(False)
        torch.manual_seed(counter_rng.number(config.seed, counter_rng.WEIGHT))
        names = trainable.match_layers(config.lora.layers, folder.denoiser_config)
        inject_adapter_in_model(
            LoraConfig(r=config.lora.rank, lora_alpha=config.lora.rank, target_modules="|".join(map(re.escape, names))),
            transformer,
        )
    transformer.train()
    learning = [p for p in transformer.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        learning,
        lr=config.optimiser.lr,
        betas=config.optimiser.betas[:2],
        weight_decay=config.optimiser.weight_decay,
        eps=config.optimiser.eps,
    )
    objective = Objective(Schedule.from_dict(scheduler_config(config, folder)), config.loss)
    order = BatchSampler(config, items, None, objective)  # type: ignore[arg-type]  # for its order only
    times, losses = [], []
    for step in range(steps):
        began = time.perf_counter()
        pixels, captions, noises, timesteps = [], [], [], []
        for n, index in enumerate(order.order.rows(step)):
            chance = counter_rng.stream(
                config.seed, counter_rng.ROW, step, n
            )  # the same chance as ours, so that losses can be compared
            language, which, dropped, _ = chance.random(4)
            timesteps.append(objective.timestep(chance))
            item = items[index]
            side = folder.vae_scale
            noises.append(
                torch.from_numpy(counter_rng.normal(chance, (4, item.bucket[1] // side, item.bucket[0] // side)))
            )
            pixels.append(fitted(item.path, item.bucket, False))
            captions.append(
                ""
                if dropped < config.data.caption_dropout
                else choose_caption(item, config.data.japanese, language, which)
            )
        with torch.no_grad():
            latents = vae.encode(torch.cat(pixels).to(where)).latent_dist.mode() * vae.config.scaling_factor
            tokens = tokenizer(
                captions, padding="max_length", max_length=folder.max_tokens, truncation=True, return_tensors="pt"
            ).to(where)
            states = encoder(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
        t = torch.tensor(timesteps)
        noisy, target = objective.noised(latents, torch.stack(noises).to(where), t)
        out = transformer(
            noisy,
            encoder_hidden_states=states,
            encoder_attention_mask=tokens["attention_mask"].float(),
            timestep=t.to(where),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            return_dict=False,
        )[0]
        loss = F.mse_loss(out[:, : latents.shape[1]], target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, config.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if where.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    order.close()
    return {"times": times, "losses": losses}


def peak_mib(device: str) -> float | None:
    """The most memory this process has held: of the GPU, else of the system."""
    import torch

    if torch.cuda.is_available() and device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def child(which: str, args: argparse.Namespace, kind: str, work: Path) -> dict[str, Any]:
    """One round of one of them in a process of its own, so that peak memory is its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.training",
        "--child",
        which,
        "--kind",
        kind,
        "--work",
        str(work),
        "--model",
        args.model,
        "--steps",
        str(args.steps),
        "--batch",
        str(args.batch),
        "--device",
        args.device,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(args: argparse.Namespace, kind: str, work: Path) -> dict[str, Any]:
    """Alternating rounds; medians over all steps but each round's first two."""
    rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "plain": []}
    for n in range(args.rounds):
        for which in ("ours", "plain") if n % 2 == 0 else ("plain", "ours"):
            rounds[which].append(child(which, args, kind, work))
    speeds = {w: [args.batch / statistics.median(r["times"][2:]) for r in found] for w, found in rounds.items()}
    ratios = [a / b for a, b in zip(speeds["ours"], speeds["plain"], strict=True)]
    a, b = (statistics.mean(rounds[w][0]["losses"]) for w in ("ours", "plain"))
    apart = max(abs(x - y) / y for x, y in zip(rounds["ours"][0]["losses"], rounds["plain"][0]["losses"], strict=True))
    return {
        "kind": kind,
        "pictures_a_second": {w: round(statistics.median(s), 2) for w, s in speeds.items()},
        "times_faster": round(statistics.median(ratios), 2),
        "of_each_round": [round(r, 2) for r in ratios],
        "peak_mib": {
            w: round(max(r["peak_mib"] for r in found)) for w, found in rounds.items() if found[0]["peak_mib"]
        },
        "mean_loss": {"ours": round(a, 5), "plain": round(b, 5)},
        "largest_difference_of_a_step": round(apart, 5),
        "cache_seconds": round(rounds["ours"][0]["cache_seconds"], 2),
        "passes": statistics.median(ratios) >= WANTED and abs(a - b) <= CLOSE * b,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="commonart-mini")
    parser.add_argument("--kind", choices=["lora", "full"], help="only this one")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=["ours", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        found = {"ours": ours, "plain": plain}[args.child](
            args.work, args.kind, args.model, args.steps, args.batch, args.device
        )
        print(json.dumps(found | {"peak_mib": peak_mib(args.device)}))
        return 0
    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COMMONART_HOME"] = str(Path(folder) / "home")
        make_data(Path(folder) / "data", args.pictures)
        answers = [measure(args, kind, Path(folder)) for kind in ([args.kind] if args.kind else ["lora", "full"])]
    if args.json:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        print(
            json.dumps(
                {
                    "model": args.model,
                    "batch": args.batch,
                    "steps": args.steps,
                    "load": load,
                    "cores": os.cpu_count(),
                    "results": answers,
                },
                indent=1,
            )
        )
    else:
        for one in answers:
            print(
                f"{one['kind']}: {one['pictures_a_second']['ours']} pictures/s, plain "
                f"{one['pictures_a_second']['plain']}: {one['times_faster']} times "
                f"({one['of_each_round']}); peak MiB {one['peak_mib']}; mean loss {one['mean_loss']}, largest "
                f"difference of a step "
                f"{one['largest_difference_of_a_step']:.1%}; cached in {one['cache_seconds']} s"
            )
    return 0 if all(one["passes"] for one in answers) else 1


if __name__ == "__main__":
    raise SystemExit(main())
