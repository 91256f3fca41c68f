"""Captions to hidden states and their store."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.backends.pytorch.encode import Encoder
from engine.backends.row_threads import RowThreads
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.library import open_model
from engine.contract.errors import BrokenWeights, WrongTokenizer
from engine.models.text_encoder import CaptionEncoder, Feature, FeatureStore
from tests.support.tiny_models import make_commonart, make_pipeline, make_tokenizer

CPU, FP32 = torch.device("cpu"), torch.float32
TEXTS = ("青い背景の寿司", "a red apple", "ねこ", "cat, りんご、ねこ on a blue background", "😀", "a\nb\tc", "")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFolder]:
    base = tmp_path_factory.mktemp("text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMMONART_HOME", str(base / "home"))
        found = {k: open_model(str(make_pipeline(base / k, k))) for k in ("llama", "sigma", "alpha")}
        root, encoder, vae = make_commonart(base / "bare")
        found["commonart"] = open_model(str(root), str(encoder), str(vae))
    return found


@pytest.fixture
def model(made: dict[str, ModelFolder], tmp_path: Path) -> Iterator[ModelFolder]:
    """One that may be damaged."""
    shutil.copytree(made["llama"].root, tmp_path / "model")
    yield open_model(str(tmp_path / "model"))


def load(folder: ModelFolder) -> CaptionEncoder:
    return CaptionEncoder(folder, device=CPU, dtype=FP32)


def encoder(folder: ModelFolder) -> Encoder:
    return Encoder(folder, folder.hashes()["text_encoder"], CPU, FP32, lambda rows: RowThreads(min(2, max(1, rows))))


# encoding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "commonart", "sigma", "alpha"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_alone_equals_padded_and_masked(made: dict[str, ModelFolder], kind: str, side: str) -> None:
    """One caption without padding gives what the reference computes in a padded batch under its mask."""
    from transformers import AutoModel, AutoTokenizer, T5EncoderModel

    folder = made[kind]
    tokenizer: Any = AutoTokenizer.from_pretrained(folder.tokenizer, padding_side=side)
    theirs: Any = (
        (T5EncoderModel if folder.pixart_text else AutoModel).from_pretrained(folder.text_encoder, dtype=FP32).eval()
    )
    texts = [t for t in TEXTS if tokenizer(t)["input_ids"]]
    assert len(texts) >= 6
    batch = tokenizer(texts, padding="max_length", truncation=True, max_length=folder.max_tokens, return_tensors="pt")
    with torch.no_grad():
        states = theirs(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
    ours = load(folder)
    for row, text in enumerate(texts):
        feature = ours.encode(text)
        want = states[row][batch.attention_mask[row].bool()]
        assert not feature.cut
        assert feature.states.dtype == FP32
        torch.testing.assert_close(feature.states, want, rtol=1e-4, atol=2e-5, msg=lambda m, t=text: f"{t!r}: {m}")


def test_t5_captions_are_stripped_and_small(made: dict[str, ModelFolder]) -> None:
    t5, llama = load(made["sigma"]), load(made["llama"])
    assert torch.equal(t5.encode("  A Red APPLE ").states, t5.encode("a red apple").states)
    assert llama.encode("A Red APPLE").tokens != llama.encode("a red apple").tokens


@pytest.mark.parametrize(("kind", "tokens"), [("llama", 1), ("sigma", 1), ("commonart", 64)])
def test_empty_caption(made: dict[str, ModelFolder], kind: str, tokens: int) -> None:
    """A start or end mark, or where the tokenizer adds none, the whole padding."""
    feature = load(made[kind]).encode("")
    assert (feature.tokens, feature.cut) == (tokens, False)
    assert bool(torch.isfinite(feature.states).all())


@pytest.mark.parametrize(("kind", "limit"), [("llama", 64), ("commonart", 64), ("sigma", 300), ("alpha", 120)])
def test_long_captions_are_cut_and_say_so(made: dict[str, ModelFolder], kind: str, limit: int) -> None:
    ours = load(made[kind])
    marks = len(ours.tokenizer("")["input_ids"])
    for count, cut in (
        (limit - marks - 1, False),
        (limit - marks, False),
        (limit - marks + 1, True),
        (limit * 3, True),
    ):
        # digits do not merge with each other: one letter, one token
        text = ("12345678" * (count // 8 + 1))[:count]
        assert len(ours.tokenizer(text)["input_ids"]) == count + marks
        feature = ours.encode(text)
        assert feature.cut is cut, (count, feature.tokens)
        assert feature.tokens == min(count + marks, limit)


# parts that do not fit --------------------------------------------------------------------------------------------


def test_a_tokenizer_with_more_tokens_than_the_encoder(model: ModelFolder) -> None:
    make_tokenizer(model.tokenizer)
    file = model.tokenizer / "tokenizer.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    data["added_tokens"] += [{**data["added_tokens"][0], "id": 1000 + i, "content": f"<extra_{i}>"} for i in range(600)]
    file.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(WrongTokenizer, match="the encoder knows 512"):
        load(model)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": 3}', "\x00\xff"])
def test_a_tokenizer_that_cannot_be_read(model: ModelFolder, content: str) -> None:
    (model.tokenizer / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(WrongTokenizer):
        load(model)


def test_features_of_another_width(model: ModelFolder, tmp_path: Path) -> None:
    file = model.denoiser / "config.json"
    file.write_text(
        json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"caption_channels": 48}), encoding="utf-8"
    )
    with pytest.raises(BrokenWeights, match="its features have 32 channels, the denoiser reads 48"):
        load(model)


@pytest.mark.parametrize("change", ["missing", "shape", "config", "type", "layers"])
@pytest.mark.parametrize("kind", ["llama", "sigma"])
def test_an_encoder_that_does_not_fit_its_config(
    made: dict[str, ModelFolder], tmp_path: Path, change: str, kind: str
) -> None:
    """transformers fills what is missing at random and only logs it: here that is an error."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(made[kind].root, tmp_path / "model")
    folder = open_model(str(tmp_path / "model"))
    weights, config = folder.text_encoder / "model.safetensors", folder.text_encoder / "config.json"
    data = json.loads(config.read_text(encoding="utf-8"))
    state = load_file(weights)
    name = next(n for n in state if "norm" in n and ".1." in n)
    if change == "missing":
        del state[name]
        save_file(state, weights, {"format": "pt"})
    elif change == "shape":
        state[name] = state[name][:-1].clone()
        save_file(state, weights, {"format": "pt"})
    elif change == "layers":
        config.write_text(json.dumps(data | {"num_hidden_layers": 3, "num_layers": 3}), encoding="utf-8")
    else:
        config.write_text(
            "{" if change == "config" else json.dumps(data | {"model_type": "none-such"}), encoding="utf-8"
        )
    with pytest.raises(BrokenWeights):
        load(folder)


def test_features_that_are_not_numbers(model: ModelFolder) -> None:
    ours = load(model)
    with torch.no_grad():
        ours.model.norm.weight[0] = float("nan")
    with pytest.raises(BrokenWeights, match="not finite"):
        ours.encode("cat")


# the store --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("cut", [False, True])
def test_store_gives_back_what_it_got(tmp_path: Path, dtype: torch.dtype, cut: bool) -> None:
    store, states = FeatureStore("ab" * 32, dtype, tmp_path), torch.randn(5, 8).to(dtype)
    for text in ("寿司", "", "a" * 20_000, "a/b\\c:\n", "\U0001f600"):
        assert store.get(text) is None
        store.put(text, Feature(states, cut))
        found = store.get(text)
        assert found is not None
        assert torch.equal(found.states, states)
        assert (found.cut, found.tokens, found.states.dtype) == (cut, 5, dtype)
    assert set(store.get_many(["寿司", "none", "", "寿司"])) == {"寿司", ""}
    assert not list(tmp_path.rglob("*.commonart-part*"))


def test_stores_of_other_encoders_and_dtypes_are_apart(tmp_path: Path) -> None:
    FeatureStore("a" * 64, FP32, tmp_path).put("x", Feature(torch.zeros(1, 2), False))
    assert FeatureStore("b" * 64, FP32, tmp_path).get("x") is None
    assert FeatureStore("a" * 64, torch.bfloat16, tmp_path).get("x") is None


@pytest.mark.parametrize("damage", [b"", b"abc", b"\xff" * 200, None])
def test_a_damaged_file_counts_as_absent(tmp_path: Path, damage: bytes | None) -> None:
    store = FeatureStore("a" * 64, FP32, tmp_path)
    store.put("x", Feature(torch.ones(3, 4), False))
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-5] if damage is None else damage)
    assert store.get("x") is None
    store.put("x", Feature(torch.ones(3, 4), True))
    found = store.get("x")
    assert found is not None
    assert found.cut


def test_a_store_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    store = FeatureStore("a" * 64, FP32, tmp_path / "file")
    store.put("x", Feature(torch.ones(1, 1), False))
    assert store.get("x") is None


def test_what_is_stored_is_not_encoded_again(made: dict[str, ModelFolder]) -> None:
    first = encoder(made["llama"])
    assert first._loaded is None, "the language model is loaded only when a caption needs it"
    features = first.encode(["cat", "ねこ", "cat", ""])
    assert list(features) == ["cat", "ねこ", ""]
    assert first._loaded is not None

    second = encoder(made["llama"])
    again = second.encode(["", "ねこ", "cat"])
    assert second._loaded is None
    assert all(torch.equal(again[t].states, features[t].states) for t in features)
    second.encode(["cat", "apple"])
    assert second._loaded is not None


def test_recent_captions_need_no_disk(made: dict[str, ModelFolder], own_home: Path) -> None:
    e = encoder(made["llama"])
    first = e.encode(["cat"])["cat"]
    shutil.rmtree(own_home / "cache" / "text")
    e.drop()
    assert e.encode(["cat"])["cat"] is first
    assert e._loaded is None


def test_dropped_encoder_comes_back(made: dict[str, ModelFolder]) -> None:
    e = encoder(made["llama"])
    e.encode(["cat"])
    e.drop()
    assert e._loaded is None
    assert e.encode(["red"])["red"].tokens


def test_more_captions_than_are_kept(made: dict[str, ModelFolder]) -> None:
    """One call with more texts than the short memory holds still answers all of them."""
    texts = [f"{n}" for n in range(300)]
    e = encoder(made["llama"])
    e._store.put("0", Feature(torch.zeros(2, 32), True))
    assert set(e.encode(texts)) == set(texts)
    assert len(e._recent) == 256
    assert e.encode(["0"])["0"].cut, "from the store"


def test_features_depend_on_tokenizer_and_limit(model: ModelFolder) -> None:
    """The store's key changes with whatever changes the features."""
    before = model.hashes()["text_encoder"]
    assert dataclasses.replace(model, max_tokens=7).hashes()["text_encoder"] != before
    make_tokenizer(model.tokenizer, bos=False)
    assert model.hashes()["text_encoder"] != before


def test_variant_weights_are_loaded(model: ModelFolder) -> None:
    """Weights that lie there only as fp16, by diffusers' names."""
    want = load(model).encode("cat").states
    (model.text_encoder / "model.safetensors").rename(model.text_encoder / "model.fp16.safetensors")
    torch.testing.assert_close(load(model).encode("cat").states, want)
