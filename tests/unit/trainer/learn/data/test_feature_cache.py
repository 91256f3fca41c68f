"""Features are computed once, noticed when stale or damaged, and exact.

Buckets, order and splits are functions of the seed.
"""

from __future__ import annotations

import collections
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.checkpoint.layout import ModelFolder, identify
from engine.contract.errors import TooFewPictures
from tests.support.images import make_dataset
from tests.support.tiny_models import make_vae
from tests.support.training_runs import make_world, write_config
from trainer.config import Loss
from trainer.config_file import read_config
from trainer.learn.data import counter_rng
from trainer.learn.data.batches import BatchSampler, choose_caption, micro_batches
from trainer.learn.data.buckets import BucketOrder, make_buckets, nearest
from trainer.learn.data.feature_cache import FeatureCache, fitted
from trainer.learn.data.samples import collect, split
from trainer.learn.trainable import packed_captions

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("features"), 8)


@pytest.fixture(autouse=True)
def shared_home(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONART_HOME", str(world / "home"))


def features(folder: ModelFolder, memory: int = 1 << 20) -> FeatureCache:
    return FeatureCache(folder, device=CPU, text_dtype="auto", memory=memory)


def items_of(world: Path, *changes: str):
    folder = identify(world / "tiny")
    config = read_config(write_config(world, "x"), changes)
    return folder, config, collect(config, multiple=folder.multiple, own_side=folder.own_side)


def test_latents_are_the_vaes(world: Path) -> None:
    from engine.backends.pytorch.load import load_vae

    folder, _, found = items_of(world)
    f = features(folder)
    f.prepare(found.train, ["りんご", ""], mirrored=True)
    vae = load_vae(folder, CPU, torch.float32)
    item = found.train[0]
    for mirrored in (False, True):
        with torch.no_grad():
            posterior = vae.encode(fitted(item.path, item.bucket, mirrored)).latent_dist
        mean, std = f.latent(item, mirrored)
        assert torch.allclose(mean, posterior.mean[0], rtol=1e-3, atol=1e-3)
        assert torch.allclose(std, posterior.std[0], rtol=1e-3, atol=1e-3)
    assert not torch.equal(f.latent(item, True)[0], f.latent(item, False)[0])
    assert f.scaled(torch.ones(1)).item() == pytest.approx(0.7)
    from engine.models.text_encoder import CaptionEncoder

    assert torch.equal(
        f.text("りんご"), CaptionEncoder(folder, device=CPU, dtype=torch.float32).encode("りんご").states
    )


def test_nothing_is_computed_twice_and_the_models_leave(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, found = items_of(world)
    first = features(folder)
    first.prepare(found.train, ["cat"], mirrored=False)
    assert first._vae is None and first._encoder is None
    monkeypatch.setattr(FeatureCache, "_encode", lambda *a: pytest.fail("encoded again"))
    monkeypatch.setattr(FeatureCache, "_encode_text", lambda *a: pytest.fail("encoded again"))
    again = features(folder)
    again.prepare(found.train, ["cat"], mirrored=False)
    again.latent(found.train[0], False)


@pytest.mark.parametrize("damage", ["cut", "bit", "other picture", "empty"])
def test_damaged_and_stale_files_are_made_again(world: Path, damage: str) -> None:
    folder, _, found = items_of(world)
    f = features(folder)
    one, two = found.train[:2]
    f.prepare([one, two], [], mirrored=False)
    want = f.latent(one, False)
    file, other = (f._file(i.sha256, i.bucket, False) for i in (one, two))
    data = bytearray(file.read_bytes())
    if damage == "bit":
        data[-5] ^= 1
    elif damage == "cut":
        data = data[:-9]
    elif damage == "empty":
        data = bytearray()
    else:  # a whole file under another's name
        data = bytearray(other.read_bytes())
    file.write_bytes(data)
    fresh = features(folder)
    fresh.prepare([one], [], mirrored=False)
    assert file.read_bytes() != data
    assert all(torch.equal(a, b) for a, b in zip(fresh.latent(one, False), want, strict=True))


def test_a_file_damaged_while_training_is_made_again(world: Path) -> None:
    folder, _, found = items_of(world)
    f = features(folder, memory=0)
    f.prepare(found.train, [], mirrored=False)
    item = found.train[0]
    want = f.latent(item, False)
    f.latent(found.train[1], False)
    f._file(item.sha256, item.bucket, False).write_bytes(b"x")
    assert torch.equal(f.latent(item, False)[0], want[0])


def test_another_vae_is_another_cache(world: Path, tmp_path: Path) -> None:
    folder, _, _ = items_of(world)
    make_vae(tmp_path / "vae")
    config = json.loads((tmp_path / "vae" / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "vae" / "config.json").write_text(json.dumps(config | {"norm_num_groups": 2}), encoding="utf-8")
    other = identify(world / "tiny", vae=tmp_path / "vae")
    a, b = features(folder), features(other)
    assert a._file("ab", (32, 32), False) != b._file("ab", (32, 32), False)


def test_memory_is_bounded(world: Path) -> None:
    folder, _, found = items_of(world)
    f = features(folder, memory=2000)
    f.prepare(found.train, [], mirrored=False)
    for item in found.train:
        f.latent(item, False)
    assert f._cached_bytes <= 2000 and len(f._recent) < len(found.train)


def test_what_is_remembered_is_no_map_of_its_file(world: Path) -> None:
    folder, _, found = items_of(world)
    features(folder).prepare(found.train[:1], ["an apple"], mirrored=False)
    f, item = features(folder), found.train[0]
    kept = {
        f._file(item.sha256, item.bucket, False): f.latent(item, False)[0],
        f._texts.file("an apple"): f.text("an apple"),
    }
    for file, tensor in kept.items():
        want = tensor.clone()
        with file.open("r+b") as changed:  # a map would show what the file now holds
            changed.seek(-16, 2)
            changed.write(b"\0" * 16)
        again = f.latent(item, False)[0] if tensor.ndim == 3 else f.text("an apple")
        assert torch.equal(tensor, want) and torch.equal(again, want)
        file.unlink()


def test_pictures_are_cut_to_their_bucket(tmp_path: Path) -> None:
    from PIL import Image

    image = Image.new("RGB", (90, 60), (255, 0, 0))
    image.paste((0, 0, 255), (45, 0, 90, 60))
    image.save(tmp_path / "x.png")
    x = fitted(tmp_path / "x.png", (40, 24), False)
    assert x.shape == (1, 3, 24, 40)
    assert x[0, :, 12, 2].tolist() == [1, -1, -1]
    assert fitted(tmp_path / "x.png", (40, 24), True)[0, :, 12, 2].tolist() == [-1, -1, 1]


def test_captions_packed_together_are_the_engines(world: Path) -> None:
    from engine.backends.pytorch.load import load_denoiser

    folder, _, _ = items_of(world)
    model = load_denoiser(folder, CPU, torch.float32)
    noise = torch.Generator().manual_seed(1)
    texts = [torch.randn(n, 32, generator=noise) for n in (3, 3, 5, 9)]
    latents = torch.randn(4, 4, 8, 8, generator=noise)
    times = torch.tensor([1, 200, 500, 999])
    with torch.no_grad():
        want = model(latents, times, model.captions(texts))
        got = model(latents, times, packed_captions(model, texts))
    assert torch.allclose(got, want, atol=1e-5)


def test_buckets_have_the_same_area_and_the_models_multiple() -> None:
    for resolution, multiple in ((512, 16), (1024, 16), (64, 16), (256, 8)):
        buckets = make_buckets(resolution, multiple, 2.0)
        assert (resolution, resolution) in buckets
        assert {(h, w) for w, h in buckets} == set(buckets)
        for w, h in buckets:
            assert w % multiple == h % multiple == 0 and max(w, h) <= 2 * min(w, h)
            assert 0.6 < w * h / resolution**2 < 1.3
    assert make_buckets(512, 16, 1.0) == [(512, 512)]
    buckets = make_buckets(512, 16, 2.0)
    assert nearest((512, 512), buckets) == (512, 512)
    assert nearest((3000, 100), buckets) == max(buckets, key=lambda b: b[0] / b[1])
    w, h = nearest((600, 900), buckets)
    assert abs(w / h - 2 / 3) < 0.05


def test_every_round_shows_every_picture() -> None:
    buckets = [(64, 64)] * 11 + [(80, 48)] * 6 + [(48, 80)]
    order = BucketOrder(buckets, [1.0] * 18, batch=4, accumulation=2, seed=3)
    assert order.steps == 3
    seen = [order.rows(s) for s in range(2 * order.steps)]
    for number in (0, 1):
        assert {i for rows in seen[number * 3 : number * 3 + 3] for i in rows} == set(range(18))
    assert all(len(rows) == 8 for rows in seen)
    assert seen[:3] != seen[3:]
    again = BucketOrder(buckets, [1.0] * 18, batch=4, accumulation=2, seed=3)
    assert [again.rows(s) for s in reversed(range(6))] == seen[::-1]  # of the step alone, not of what came before
    assert [BucketOrder(buckets, [1.0] * 18, batch=4, accumulation=2, seed=4).rows(s) for s in range(6)] != seen
    parts = [seen[s][i : i + 4] for s in range(6) for i in (0, 4)]
    assert sum(len({buckets[i] for i in p}) == 1 for p in parts) >= 6  # most batches are of one shape


def test_weights_are_shares() -> None:
    order = BucketOrder([(64, 64)] * 6, [2.0, 2.0, 1.0, 1.0, 0.5, 0.5], batch=7, accumulation=1, seed=0)
    counts = collections.Counter(i for s in range(100) for i in order.rows(s))
    assert counts[0] == counts[1] == 200 and counts[2] == counts[3] == 100
    assert 30 < counts[4] < 70 and counts[4] + counts[5] == 100


def test_one_fits_all_small_sets() -> None:
    assert BucketOrder([(8, 8)], [1.0], batch=4, accumulation=2, seed=0).rows(5) == [0] * 8


def test_chance_is_a_function_of_its_place() -> None:
    a = counter_rng.stream(1, counter_rng.ROW, 5, 2).random(1000)
    assert np.array_equal(a, counter_rng.stream(1, counter_rng.ROW, 5, 2).random(1000))
    for other in (
        (1, counter_rng.ROW, 5, 3),
        (1, counter_rng.ROW, 6, 2),
        (2, counter_rng.ROW, 5, 2),
        (1, counter_rng.ORDER, 5, 2),
    ):
        assert not np.isin(a, counter_rng.stream(*other).random(1000)).any()


def test_held_out_pictures_share_no_hash_and_stay(world: Path) -> None:
    _, _, found = items_of(world, "data.heldout=0.25")
    assert len(found.heldout) == 2 and len(found.train) == 6
    assert not {i.sha256 for i in found.train} & {i.sha256 for i in found.heldout}
    assert (
        len(split(found.train[:5], 0.3, 0)[1]) == 2
        and len(split(found.train[:4], 0.01, 0)[1]) == 1
        and not split(found.train, 0, 0)[1]
    )
    twice = [*found.train[:5], *found.train[:5]]
    _, held = split(twice, 0.3, 0)
    assert collections.Counter(i.sha256 for i in held).most_common()[-1][1] == 2  # copies stay together


def test_pictures_without_captions_and_unreadable_ones_are_counted(tmp_path: Path, world: Path) -> None:
    make_dataset(tmp_path / "data", 6, size=40, seed=9)
    shutil.copytree(world / "tiny", tmp_path / "tiny")
    rows = [json.loads(x) for x in (tmp_path / "data" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    rows[0] |= {"text": "  ", "text_ja": ""}
    (tmp_path / "data" / rows[1]["file_name"]).write_bytes(b"no picture")
    (tmp_path / "data" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    _, _, found = items_of(tmp_path, "data.heldout=0", "lora.trigger=zaq")
    assert {str(k): v for k, v in found.skipped.items()} == {"without a caption": 1, "that cannot be read": 1}
    assert len(found.train) == 4
    assert found.train[0].english[0].startswith("zaq, ") and found.train[0].japanese[0].startswith("zaq、")
    for r in rows:
        r |= {"text": "", "text_ja": ""}
    (tmp_path / "data" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(TooFewPictures):
        items_of(tmp_path)


def test_languages_mix_by_ratio(world: Path) -> None:
    _, _, found = items_of(world)
    item = found.train[0]
    assert choose_caption(item, 0.3, 0.29, 0.0) == item.japanese[0]
    assert choose_caption(item, 0.3, 0.31, 0.99) == item.english[0]


def test_rows_are_functions_of_seed_and_step(world: Path) -> None:
    from engine.sampling.schedule import Schedule
    from trainer.learn.loss import Objective

    folder, config, found = items_of(world, "data.caption_dropout=0.3", "data.flip=0.5")
    f = features(folder)
    f.prepare(found.train, [c for i in found.train for c in i.captions] + [""], mirrored=True)

    def sums(step: int, rank: int = 0, world: int = 1, attempt: int = 0) -> list[str]:
        rows = BatchSampler(config, found.train, f, Objective(Schedule(), Loss()))
        found_rows = rows.of(step, attempt, rank, world)
        rows.close()
        return [
            hashlib.sha256(
                r.latents.numpy().tobytes()
                + r.noise.numpy().tobytes()
                + r.text.numpy().tobytes()
                + bytes([r.timestep % 251])
            ).hexdigest()
            for r in found_rows
        ]

    whole = sums(7)
    assert whole == sums(7) and len(set(whole)) == 4
    assert [*sums(7, 0, 2), *sums(7, 1, 2)] == whole[::2] + whole[1::2]  # two processes see what one sees
    assert not set(whole) & set(sums(8)) and not set(whole) & set(sums(7, attempt=1))


def test_micro_batches_hold_one_shape_sorted_by_caption() -> None:
    from trainer.learn.data.batches import Sample

    def row(side: int, tokens: int) -> Sample:
        return Sample(torch.zeros(4, side, 8), torch.zeros(4, side, 8), 0, torch.zeros(tokens, 2), (side, 8))

    rows = [row(8, 3), row(6, 1), row(8, 1), row(8, 2), row(6, 4)]
    parts = micro_batches(rows, 2)
    assert [[(len(r.text), r.latents.shape[1]) for r in p] for p in parts] == [
        [(1, 8), (3, 8)],
        [(2, 8)],
        [(1, 6), (4, 6)],
    ]
