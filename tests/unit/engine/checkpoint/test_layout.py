"""Model folders: what is found, what is remembered, and that every kind of damage has its own error, never another
exception.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.backends.pytorch.backend import TorchBackend
from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.library import find_all, hub_cache, locate, open_model, remembered_parts
from engine.checkpoint.weights import part_sha256, read_header, sha256_file, weight_files
from engine.contract.errors import (
    BadFile,
    BrokenWeights,
    CommonArtError,
    MissingPart,
    ModelError,
    NeedsConversion,
    NotAModel,
    UnknownModel,
    WrongShape,
    WrongTokenizer,
)
from engine.contract.request import ImageRequest
from engine.pipeline import decode, denoise_batch, encode, settle
from tests.support.tiny_models import make_commonart, make_pipeline

WEIGHTS = {
    "transformer": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("layouts")
    return {k: make_pipeline(base / k, k) for k in ("llama", "sigma", "alpha")} | {
        "commonart": make_commonart(base / "bare")[0].parent
    }


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HUGGINGFACE_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def copy(pristine: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    def inner(kind: str = "llama", name: str = "model") -> Path:
        return Path(shutil.copytree(pristine[kind], tmp_path / name))

    return inner


def picture(folder: ModelFolder) -> np.ndarray[Any, Any]:
    backend = TorchBackend(folder, device="cpu", dtype="fp32")
    requests = [settle(ImageRequest(prompt="cat", seed=1, steps=2, width=16, height=16), folder)]
    return decode(backend, denoise_batch(backend, requests, encode(backend, requests)))


def edit(file: Path, **changes: Any) -> None:
    """None removes an entry."""
    data = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({k: v for k, v in data.items() if v is not None}), encoding="utf-8")


def edit_weights(file: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    state = load_file(file)
    change(state)
    save_file(state, file, {"format": "pt"})


# what is found ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "tokens", "t5"), [("llama", 64, False), ("sigma", 300, True), ("alpha", 120, True)])
def test_pipelines(copy: Callable[..., Path], kind: str, tokens: int, t5: bool) -> None:
    root = copy(kind)
    folder = open_model(str(root))
    assert folder == ModelFolder(
        root=root,
        name="model",
        layout="pipeline",
        denoiser=root / "transformer",
        text_encoder=root / "text_encoder",
        tokenizer=root / "tokenizer",
        vae=root / "vae",
        scheduler=root / "scheduler",
        max_tokens=tokens,
        pixart_text=t5,
    )
    assert (folder.vae_scale, folder.multiple, folder.own_side) == (4, 8, 32)
    assert folder.scheduler_config["_class_name"] == "DPMSolverMultistepScheduler"
    assert picture(folder).shape == (1, 16, 16, 3)


def test_commonart_in_three_folders(copy: Callable[..., Path]) -> None:
    base = copy("commonart")
    folder = open_model(str(base / "commonart-beta"), str(base / "calm2"), str(base / "sdxl-vae"))
    assert folder == ModelFolder(
        root=base / "commonart-beta",
        name="commonart-beta",
        layout="bare",
        denoiser=base / "commonart-beta",
        text_encoder=base / "calm2",
        tokenizer=base / "calm2",
        vae=base / "sdxl-vae",
        scheduler=None,
        max_tokens=64,
        pixart_text=False,
    )
    assert folder.scheduler_config == {}
    assert picture(folder).shape == (1, 16, 16, 3)


def test_parts_of_pipelines_can_be_lent(copy: Callable[..., Path]) -> None:
    """--text-encoder and --vae take a pipeline's folder as well as the part's own."""
    base, donor = copy("commonart"), copy("llama", "donor")
    folder = open_model(str(base / "commonart-beta"), str(donor), str(donor))
    assert (folder.text_encoder, folder.tokenizer, folder.vae) == (
        donor / "text_encoder",
        donor / "tokenizer",
        donor / "vae",
    )
    inside = open_model(str(base / "commonart-beta"), str(donor / "text_encoder"), str(donor / "vae"))
    assert (inside.text_encoder, inside.tokenizer, inside.vae) == (folder.text_encoder, folder.tokenizer, folder.vae)
    over = open_model(str(donor), None, str(base / "sdxl-vae"))
    assert (over.text_encoder, over.vae) == (donor / "text_encoder", base / "sdxl-vae")


def test_parts_are_remembered(copy: Callable[..., Path], own_home: Path) -> None:
    base = copy("commonart")
    root, encoder, vae = (base / n for n in ("commonart-beta", "calm2", "sdxl-vae"))
    with pytest.raises(MissingPart) as e:
        open_model(str(root))
    assert "--text-encoder" in e.value.advice
    with pytest.raises(MissingPart) as e:
        open_model(str(root), str(encoder))
    assert "--vae" in e.value.advice
    assert remembered_parts(root) == {}, "what did not work is not remembered"
    first = open_model(str(root), str(encoder), str(vae))
    assert open_model(str(root)) == first
    assert open_model(str(root) + "/../commonart-beta").text_encoder == encoder
    other = Path(shutil.copytree(vae, base / "other-vae"))
    assert open_model(str(root), None, str(other)).vae == other
    assert open_model(str(root)).vae == other
    assert open_model(str(root)).text_encoder == encoder
    shutil.rmtree(other)
    with pytest.raises(MissingPart):
        open_model(str(root))
    for damage in ("", "{", "[]", '{"x": 1}', json.dumps({str(root): [1]})):
        (own_home / "models.json").write_text(damage, encoding="utf-8")
        with pytest.raises(MissingPart):
            open_model(str(root))
    assert open_model(str(root), str(encoder), str(vae)) == first
    assert open_model(str(root)) == first


def test_a_home_that_cannot_be_written(
    copy: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("COMMONART_HOME", str(tmp_path / "file" / "home"))
    base = copy("commonart")
    assert picture(open_model(str(base / "commonart-beta"), str(base / "calm2"), str(base / "sdxl-vae"))).any()


def test_names_in_the_home_and_the_hub_cache(copy: Callable[..., Path], own_home: Path, tmp_path: Path) -> None:
    mine = copy("llama", "home/models/my-model")
    repo = tmp_path / "hub" / "models--aipicasso--commonart-beta"
    for revision, name in (("aaa", "old"), ("bbb", "new"), ("ccc", "later")):
        copy("llama", f"hub/models--aipicasso--commonart-beta/snapshots/{revision}")
        (repo / "snapshots" / revision / "note").write_text(name, encoding="utf-8")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("bbb\n", encoding="utf-8")
    copy("llama", "hub/models--org--no-refs/snapshots/zzz")
    copy("llama", "hub/datasets--org--x/snapshots/zzz")
    (tmp_path / "hub" / "models--org--bert" / "snapshots" / "1").mkdir(parents=True)
    (tmp_path / "hub" / "models--org--bert" / "snapshots" / "1" / "config.json").write_text("{", encoding="utf-8")
    (tmp_path / "hub" / "models--org--empty").mkdir()
    (own_home / "models" / "notes").mkdir()

    found = {f.name: f for f in find_all() if f.source != "bundled"}
    assert {k: (v.path, v.source) for k, v in found.items()} == {
        "my-model": (mine, "home"),
        "aipicasso/commonart-beta": (repo / "snapshots" / "bbb", "hub-cache"),
        "org/no-refs": (tmp_path / "hub" / "models--org--no-refs" / "snapshots" / "zzz", "hub-cache"),
    }
    assert hub_cache() == tmp_path / "hub"
    for name in ("aipicasso/commonart-beta", "commonart-beta"):
        assert open_model(name).root == repo / "snapshots" / "bbb"
        assert open_model(name).name == "aipicasso/commonart-beta"
    assert open_model("my-model").denoiser == mine / "transformer"
    assert open_model("my-model", None, "no-refs").vae.is_relative_to(found["org/no-refs"].path)

    with pytest.raises(UnknownModel) as e:
        open_model("commonart-betta")
    assert "aipicasso/commonart-beta" in e.value.advice
    with pytest.raises(UnknownModel) as e:
        open_model("zzzzzzzzzz")
    assert "my-model" in e.value.advice, "nothing is near: all are told"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/c", "HF_HOME": "/b"}, "/c"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
    ],
)
def test_hub_cache_follows_its_variables(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE")
    for k, v in variables.items():
        monkeypatch.setenv(k, v)
    assert hub_cache() == Path(expected)


@pytest.mark.parametrize(
    "name",
    [
        "~nobody-of-this-name/model",
        "x" * 300,
        "a\0b",
        "../" * 40 + "nowhere",
        "none/such",
        "/none/such",
        ".nothing",
        "?*",
    ],
)
def test_odd_names(name: str) -> None:
    with pytest.raises((UnknownModel, BadFile)):
        open_model(name)


@pytest.mark.parametrize("option", ["text_encoder", "vae"])
@pytest.mark.parametrize("value", ["/none/such", "none-such", "~nobody-of-this-name", "x" * 300])
def test_parts_that_are_not_there(copy: Callable[..., Path], option: str, value: str) -> None:
    with pytest.raises((UnknownModel, BadFile)):
        open_model(str(copy()), **{option: value})


def test_a_part_that_is_a_file(copy: Callable[..., Path]) -> None:
    root = copy()
    with pytest.raises(BadFile):
        open_model(str(root / "model_index.json"))
    with pytest.raises(BadFile):
        open_model(str(root), None, str(root / "model_index.json"))


# what is none -----------------------------------------------------------------------------------------------------


def test_folders_that_are_no_models(copy: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    root = copy()
    for folder in (tmp_path / "empty", root / "text_encoder", root / "vae", tmp_path):
        with pytest.raises(NotAModel):
            open_model(str(folder))
    shutil.rmtree(root / "transformer")
    with pytest.raises(NotAModel, match="transformer"):
        open_model(str(root))


@pytest.mark.parametrize(
    "found", ["SD3Transformer2DModel", "UNet2DConditionModel", "", ["PixArtTransformer2DModel"], None, 3]
)
def test_a_transformer_of_another_class(copy: Callable[..., Path], found: Any) -> None:
    root = copy()
    edit(root / "transformer" / "config.json", _class_name=found)
    with pytest.raises(NotAModel):
        open_model(str(root))


@pytest.mark.parametrize("found", ["AutoencoderTiny", "AsymmetricAutoencoderKL", None])
def test_a_vae_of_another_class(copy: Callable[..., Path], found: Any) -> None:
    root = copy()
    edit(root / "vae" / "config.json", _class_name=found)
    with pytest.raises(NotAModel, match="VAE"):
        open_model(str(root))


@pytest.mark.parametrize(("part", "option"), [("text_encoder", "--text-encoder"), ("vae", "--vae")])
def test_a_pipeline_that_lacks_a_part(copy: Callable[..., Path], part: str, option: str) -> None:
    root = copy()
    shutil.rmtree(root / part)
    with pytest.raises(MissingPart) as e:
        open_model(str(root))
    assert option in e.value.advice


def test_no_tokenizer(copy: Callable[..., Path]) -> None:
    root = copy()
    shutil.rmtree(root / "tokenizer")
    with pytest.raises(WrongTokenizer):
        open_model(str(root))


@pytest.mark.parametrize("part", list(WEIGHTS))
@pytest.mark.parametrize(
    "pickled", ["diffusion_pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "weights.pth", "model.ckpt"]
)
def test_pickles_are_never_loaded(copy: Callable[..., Path], part: str, pickled: str) -> None:
    root = copy()
    (root / part / WEIGHTS[part]).unlink()
    (root / part / pickled).write_bytes(b"not even a pickle")
    with pytest.raises(NeedsConversion, match=pickled) as e:
        open_model(str(root))
    assert str(root / part) in e.value.advice


# damage -----------------------------------------------------------------------------------------------------------

GARBAGE = ["", "{", "null", "[]", "3", '"text"', "\x00\x01\x02", '{"a": NaN', "[" * 100_000]


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "transformer/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
    ],
)
@pytest.mark.parametrize("content", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_configs(copy: Callable[..., Path], file: str, content: str) -> None:
    root = copy()
    (root / file).write_text(content, encoding="utf-8")
    with pytest.raises((BrokenWeights, WrongTokenizer)):
        TorchBackend(open_model(str(root)), device="cpu", dtype="fp32").encode(["cat"])
    (root / file).write_bytes(b"\xff\xfe\x80 not utf-8")
    with pytest.raises((BrokenWeights, WrongTokenizer)):
        TorchBackend(open_model(str(root)), device="cpu", dtype="fp32").encode(["cat"])


STRANGE: list[Any] = ["x", -1, 0, 1.5, [], {}, [1], True, 10**30]


@pytest.mark.parametrize(
    ("file", "keys"),
    [
        (
            "transformer/config.json",
            (
                "patch_size",
                "num_attention_heads",
                "attention_head_dim",
                "in_channels",
                "out_channels",
                "sample_size",
                "caption_channels",
                "cross_attention_dim",
                "interpolation_scale",
                "norm_eps",
                "norm_type",
                "num_layers",
            ),
        ),
        (
            "vae/config.json",
            ("block_out_channels", "latent_channels", "scaling_factor", "shift_factor", "norm_num_groups"),
        ),
        ("text_encoder/config.json", ("architectures", "model_type", "hidden_size", "vocab_size", "num_hidden_layers")),
        (
            "scheduler/scheduler_config.json",
            ("beta_schedule", "beta_end", "num_train_timesteps", "prediction_type", "timestep_spacing"),
        ),
        ("tokenizer/tokenizer_config.json", ("model_max_length", "tokenizer_class")),
        ("model_index.json", ("_class_name",)),
    ],
)
def test_strange_config_values(copy: Callable[..., Path], file: str, keys: tuple[str, ...]) -> None:
    """A value of a wrong kind either does no harm or is told as an error of ours."""
    root = copy()
    good = (root / file).read_text(encoding="utf-8")
    failed = 0
    for key in keys:
        for value in STRANGE:
            if key in ("num_layers", "num_hidden_layers") and value == 10**30:
                continue  # building so many takes for ever
            edit(root / file, **{key: value})
            try:
                picture(open_model(str(root)))
            except CommonArtError:
                failed += 1
            except Exception as e:
                raise AssertionError(f"{key} = {value!r} gave {type(e).__name__}: {e}") from e
            (root / file).write_text(good, encoding="utf-8")
    assert failed or file in ("model_index.json", "tokenizer/tokenizer_config.json")
    assert picture(open_model(str(root))).any()


@pytest.mark.parametrize("part", list(WEIGHTS))
@pytest.mark.parametrize("keep", [0, 4, 8, 50, -1, -1000])
def test_truncated_weights(copy: Callable[..., Path], part: str, keep: int) -> None:
    root = copy()
    file = root / part / WEIGHTS[part]
    data = file.read_bytes()
    file.write_bytes(data[:keep])
    with pytest.raises(BrokenWeights, match=WEIGHTS[part]):
        picture(open_model(str(root)))
    file.write_bytes(data + b"more")
    with pytest.raises(BrokenWeights):
        picture(open_model(str(root)))


def header(table: Any, body: bytes = b"\0" * 64) -> bytes:
    head = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + body


F4 = {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04" + b"\0" * 200,
        b"\xff" * 64,
        b"<!DOCTYPE html><html>" * 20,
        header([]),
        header(3),
        header({"a": 3}),
        header({"a": {}}),
        header({"a": F4 | {"dtype": "X9"}}),
        header({"a": F4 | {"dtype": 3}}),
        header({"a": F4 | {"dtype": []}}),
        header({"a": F4 | {"shape": [17]}}),
        header({"a": F4 | {"shape": ["x"]}}),
        header({"a": F4 | {"shape": 16}}),
        header({"a": F4 | {"shape": [[16]]}}),
        header({"a": F4 | {"shape": [-4, -4]}}),
        header({"a": F4 | {"shape": [2**62, 2**62, 16]}}),
        header({"a": F4 | {"shape": [16.0]}}),
        header({"a": F4 | {"data_offsets": [0]}}),
        header({"a": F4 | {"data_offsets": ["a", "b"]}}),
        header({"a": F4 | {"data_offsets": [None, 64]}}),
        header({"a": F4 | {"data_offsets": [-64, 0]}}),
        header({"a": F4 | {"data_offsets": [64, 0]}}),
        header({"a": F4 | {"data_offsets": [0.0, 64.0]}}),
        header({"a": F4 | {"data_offsets": [64, 128]}}),
        header({"a": F4 | {"data_offsets": [64, 128]}}, b"\0" * 128),
        header({"a": F4, "b": F4}),
        header({"a": F4}, b""),
        header(b"\xff\xfe{}"),
        header(b"[" * 100_000),
        header({}),
    ],
    ids=range(30),
)
@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_files_that_are_not_safetensors(copy: Callable[..., Path], part: str, data: bytes) -> None:
    root = copy()
    (root / part / WEIGHTS[part]).write_bytes(data)
    with pytest.raises(ModelError):
        picture(open_model(str(root)))


@pytest.mark.parametrize("part", list(WEIGHTS))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_that_are_not_numbers(copy: Callable[..., Path], part: str, value: float, dtype: torch.dtype) -> None:
    root = copy()
    named = ""

    def change(state: dict[str, torch.Tensor]) -> None:
        nonlocal named
        for k in state:
            state[k] = state[k].to(dtype)
        named = sorted(state)[len(state) // 2]
        state[named].view(-1)[-1] = value

    edit_weights(root / part / WEIGHTS[part], change)
    with pytest.raises(BrokenWeights, match="not-a-numbers") as e:
        picture(open_model(str(root)))
    assert named in str(e.value)


@pytest.mark.parametrize("part", list(WEIGHTS))
def test_tensors_that_do_not_fit(copy: Callable[..., Path], part: str) -> None:
    root = copy()
    file = root / part / WEIGHTS[part]
    good = file.read_bytes()
    name = {
        "transformer": "transformer_blocks.1.attn2.to_k.weight",
        "vae": "decoder.conv_out.bias",
        "text_encoder": "model.layers.1.mlp.up_proj.weight",
    }[part]

    def wrong(state: dict[str, torch.Tensor]) -> None:
        state[name] = torch.cat([state[name], state[name]])

    edit_weights(file, wrong)
    with pytest.raises(WrongShape if part == "transformer" else BrokenWeights) as e:
        picture(open_model(str(root)))
    if part == "transformer":
        assert (e.value.fields["tensor"], e.value.fields["found"], e.value.fields["expected"]) == (
            name,
            [64, 32],
            [32, 32],
        )

    file.write_bytes(good)
    edit_weights(file, lambda state: state.pop(name))  # type: ignore[arg-type,return-value]
    with pytest.raises(BrokenWeights) as e:
        picture(open_model(str(root)))
    assert name.removeprefix("model.") in str(e.value)

    file.write_bytes(good)
    assert picture(open_model(str(root))).any()


def test_a_tensor_too_many(copy: Callable[..., Path]) -> None:
    root = copy()
    file = root / "transformer" / WEIGHTS["transformer"]
    edit_weights(
        file, lambda state: state.update({"pos_embed.pos_embed": torch.zeros(1, 16, 32), "y_embedding": torch.zeros(2)})
    )
    assert picture(open_model(str(root))).any(), "buffers of older versions do no harm"
    edit_weights(file, lambda state: state.update({"transformer_blocks.7.norm.weight": torch.zeros(2)}))
    with pytest.raises(BrokenWeights, match=r"transformer_blocks.7.norm.weight"):
        picture(open_model(str(root)))


def test_a_vae_of_other_latents(copy: Callable[..., Path]) -> None:
    root = copy()
    edit(root / "transformer" / "config.json", in_channels=8, out_channels=8)

    def change(state: dict[str, torch.Tensor]) -> None:
        state["pos_embed.proj.weight"] = torch.zeros(32, 8, 2, 2)

    edit_weights(root / "transformer" / WEIGHTS["transformer"], change)
    with pytest.raises(BrokenWeights, match="4 latent channels, the denoiser 8"):
        picture(open_model(str(root)))


def test_legacy_and_new_class_names_load_alike(copy: Callable[..., Path]) -> None:
    root = copy()
    before = picture(open_model(str(root)))
    edit(root / "transformer" / "config.json", _class_name="Transformer2DModel", only_cross_attention=False)
    assert np.array_equal(picture(open_model(str(root))), before)


# shards, variants, hashes -----------------------------------------------------------------------------------------


def shard(folder: Path, file: str) -> list[Path]:
    """Split one weights file in three, as save_pretrained does with large ones."""
    whole = folder / file
    state, stem = load_file(whole), file.removesuffix(".safetensors")
    names, table = sorted(state), {}
    for i in range(3):
        part = f"{stem}-{i + 1:05}-of-00003.safetensors"
        mine = names[i::3]
        save_file({n: state[n] for n in mine}, folder / part, {"format": "pt"})
        table |= dict.fromkeys(mine, part)
    (folder / f"{file}.index.json").write_text(
        json.dumps({"metadata": {"total_size": whole.stat().st_size}, "weight_map": table}), encoding="utf-8"
    )
    whole.unlink()
    return [folder / f"{stem}-{i + 1:05}-of-00003.safetensors" for i in range(3)]


@pytest.mark.parametrize("part", list(WEIGHTS))
def test_shards(copy: Callable[..., Path], part: str) -> None:
    root = copy()
    before, whole = picture(open_model(str(root))), part_sha256(root / part)
    files = shard(root / part, WEIGHTS[part])
    assert weight_files(root / part) == files
    assert part_sha256(root / part) != whole
    assert np.array_equal(picture(open_model(str(root))), before)
    files[1].unlink()
    with pytest.raises(BrokenWeights, match="shard is missing"):
        open_model(str(root))


@pytest.mark.parametrize(
    "content",
    [
        *GARBAGE,
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {}}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": ["x"]}}',
        '{"weight_map": {"a": ""}}',
        '{"weight_map": {"a": "../../x"}}',
        '{"weight_map": {"a": "x", "b": 1}}',
    ],
    ids=range(len(GARBAGE) + 8),
)
def test_garbage_shard_tables(copy: Callable[..., Path], content: str) -> None:
    root = copy()
    shard(root / "transformer", WEIGHTS["transformer"])
    (root / "transformer" / f"{WEIGHTS['transformer']}.index.json").write_text(content, encoding="utf-8")
    with pytest.raises(BrokenWeights):
        picture(open_model(str(root)))


@pytest.mark.parametrize("part", list(WEIGHTS))
def test_variants(copy: Callable[..., Path], part: str) -> None:
    root = copy()
    before, stem = picture(open_model(str(root))), WEIGHTS[part].removesuffix(".safetensors")
    (root / part / WEIGHTS[part]).rename(root / part / f"{stem}.fp16.safetensors")
    assert np.array_equal(picture(open_model(str(root))), before)


def test_half_precision_weights_are_read(copy: Callable[..., Path]) -> None:
    root = copy()
    before = picture(open_model(str(root))).astype(int)
    for part, file in WEIGHTS.items():
        edit_weights(
            root / part / file, lambda state: state.update({k: v.to(torch.bfloat16) for k, v in state.items()})
        )
    assert abs(picture(open_model(str(root))).astype(int) - before).mean() < 10


def test_hashes_are_of_the_bytes_and_follow_changes(copy: Callable[..., Path], own_home: Path) -> None:
    root = copy()
    folder = identify(root)
    first = folder.hashes()
    assert set(first) == {"denoiser", "text_encoder", "vae"}
    assert first["vae"] == sha256_file(root / "vae" / WEIGHTS["vae"])
    assert folder.hashes() == first
    edit_weights(root / "vae" / WEIGHTS["vae"], lambda state: state.update({"decoder.conv_out.bias": torch.ones(3)}))
    changed = folder.hashes()
    assert changed["vae"] != first["vae"]
    assert changed["denoiser"] == first["denoiser"]
    for note in (own_home / "cache" / "hashes").iterdir():
        note.write_text("[]", encoding="utf-8")
    assert folder.hashes() == changed, "a broken note is made again"
    for note in (own_home / "cache" / "hashes").iterdir():
        assert json.loads(note.read_text(encoding="utf-8"))["sha256"]
        note.write_text("{", encoding="utf-8")
    assert folder.hashes() == changed


def test_header_says_what_lies_where(copy: Callable[..., Path]) -> None:
    file = copy() / "vae" / WEIGHTS["vae"]
    state, table = load_file(file), read_header(file)
    assert {k: v.shape for k, v in table.items()} == {k: tuple(v.shape) for k, v in state.items()}
    assert {v.dtype for v in table.values()} == {"F32"}


def test_locate_prefers_folders(copy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = copy()
    monkeypatch.chdir(tmp_path)
    assert locate("model") == (Path("model"), "model")
    assert open_model("model").root == root
    assert open_model("./model").root == root
