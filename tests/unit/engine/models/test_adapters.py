"""Adapters by other programs: what is added to a weight is what PEFT and LyCORIS compute from the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.backends.pytorch.load import load_denoiser
from engine.checkpoint.layout import ModelFolder, identify
from engine.checkpoint.lora import open_lora
from engine.checkpoint.pixart_layers import layers_of
from engine.contract.errors import BrokenWeights, LoraForOther
from engine.models.lora import Adapters
from tests.support.tiny_models import make_pipeline

CPU, FP32 = torch.device("cpu"), torch.float32
CLOSE = {"rtol": 0.0, "atol": 1e-6}
QKV = ["to_q", "to_k", "to_v"]
LINEAR, CONV = "transformer_blocks.1.ff.net.2", "pos_embed.proj"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return identify(make_pipeline(tmp_path_factory.mktemp("adapters") / "tiny", patch_size=2))


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("COMMONART_HOME", str(place))
    return place


def transformer(folder: ModelFolder) -> nn.Module:
    from diffusers import PixArtTransformer2DModel

    return PixArtTransformer2DModel.from_pretrained(folder.denoiser)


def trained(folder: ModelFolder, config: Any, seed: int = 0) -> Any:
    """diffusers' own transformer under PEFT with an adapter of random numbers."""
    from peft import get_peft_model

    model = get_peft_model(transformer(folder), config)
    noise = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if "magnitude" in name:
            p.data = p.data * (1 + 0.3 * torch.rand(p.shape, generator=noise))
        elif any(part in name for part in ("lora_", "hada_", "lokr_")):
            p.data = torch.randn(p.shape, generator=noise) * 0.2
    return model


def merged_here(folder: ModelFolder, name: Path, strength: float = 1.0) -> dict[str, Tensor]:
    return load_denoiser(folder, CPU, FP32, [open_lora(str(name), strength, folder)]).state_dict()


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor], before: dict[str, Tensor], least: int) -> None:
    changed = 0
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], **CLOSE, msg=lambda m, n=name: f"{n}: {m}")
        changed += not torch.equal(weight, before[name])
    assert changed >= least


def peft_configs() -> dict[str, Any]:
    from peft import LoHaConfig, LoKrConfig, LoraConfig

    every = [*QKV, "proj", "net.2", "to_out.0", "linear_1", "linear"]
    return {
        "alpha": LoraConfig(r=4, lora_alpha=2, target_modules=QKV),
        "rslora": LoraConfig(r=4, lora_alpha=2, target_modules=QKV, use_rslora=True),
        "patterns": LoraConfig(
            r=4,
            lora_alpha=3,
            target_modules=every,
            rank_pattern={"attn1.to_q": 2, "transformer_blocks.1.*": 6, "^pos_embed.proj": 3},
            alpha_pattern={"to_k": 7, r"transformer_blocks\.0\.attn[12]\.to_q": 1, "linear": 9},
        ),
        "patterns-rslora": LoraConfig(
            r=4,
            lora_alpha=3,
            target_modules=every,
            use_rslora=True,
            rank_pattern={"to_q": 2},
            alpha_pattern={"to_q": 5},
        ),
        "dora": LoraConfig(r=4, lora_alpha=2, target_modules=every, use_dora=True),
        "dora-rslora": LoraConfig(r=4, lora_alpha=2, target_modules=QKV, use_dora=True, use_rslora=True),
        "loha": LoHaConfig(r=3, alpha=5, target_modules=every),
        "loha-cp": LoHaConfig(r=3, alpha=5, target_modules=every, use_effective_conv2d=True, rank_pattern={"to_q": 2}),
        "lokr": LoKrConfig(r=2, alpha=5, target_modules=every),
        "lokr-both": LoKrConfig(r=1, alpha=5, target_modules=every, decompose_both=True, decompose_factor=4),
        "lokr-cp": LoKrConfig(r=2, alpha=5, target_modules=every, use_effective_conv2d=True, decompose_factor=2),
        "lokr-whole": LoKrConfig(r=16, alpha=5, target_modules=every, alpha_pattern={"to_q": 3}),
    }


@pytest.mark.parametrize("name", sorted(peft_configs()))
def test_a_folder_by_peft(folder: ModelFolder, tmp_path: Path, name: str) -> None:
    """As a folder, as its file, and renamed beside its adapter_config.json; merged as PEFT merges it."""
    config = peft_configs()[name]
    model = trained(folder, config)
    model.save_pretrained(tmp_path / "one")
    theirs = model.merge_and_unload().state_dict()
    before = load_denoiser(folder, CPU, FP32).state_dict()
    assert_same(merged_here(folder, tmp_path / "one"), theirs, before, 12)
    file = tmp_path / "one" / "adapter_model.safetensors"
    assert_same(merged_here(folder, file), theirs, before, 12)
    assert_same(merged_here(folder, file.rename(tmp_path / "one" / "mine.safetensors")), theirs, before, 12)


@pytest.mark.parametrize("strength", [0.3, -1.5])
@pytest.mark.parametrize("name", ["patterns-rslora", "dora", "loha", "lokr-both"])
def test_strength_is_pefts_scale(folder: ModelFolder, tmp_path: Path, name: str, strength: float) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    model = trained(folder, peft_configs()[name])
    model.save_pretrained(tmp_path)
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.set_scale("default", strength)
    assert_same(
        merged_here(folder, tmp_path, strength),
        model.merge_and_unload().state_dict(),
        load_denoiser(folder, CPU, FP32).state_dict(),
        12,
    )


@pytest.mark.parametrize("name", ["rslora", "patterns", "patterns-rslora"])
def test_settings_in_the_header(folder: ModelFolder, tmp_path: Path, name: str) -> None:
    """As diffusers packs PEFT's settings, and as plain entries; both need no adapter_config.json."""
    model = trained(folder, peft_configs()[name])
    model.save_pretrained(tmp_path / "peft")
    theirs = model.merge_and_unload().state_dict()
    tensors = load_file(tmp_path / "peft" / "adapter_model.safetensors")
    given = json.loads((tmp_path / "peft" / "adapter_config.json").read_text(encoding="utf-8"))
    packed = {f"transformer.{k}": v for k, v in given.items()} | {"text_encoder.r": 64, "text_encoder.lora_alpha": 1}
    renamed = {k.replace("base_model.model.", "transformer."): v for k, v in tensors.items()}
    save_file(renamed, tmp_path / "a.safetensors", {"lora_adapter_metadata": json.dumps(packed)})
    save_file(
        renamed, tmp_path / "b.safetensors", {k: v if isinstance(v, str) else json.dumps(v) for k, v in given.items()}
    )
    before = load_denoiser(folder, CPU, FP32).state_dict()
    for file in ("a", "b"):
        assert_same(merged_here(folder, tmp_path / f"{file}.safetensors"), theirs, before, 12)


def test_a_header_goes_before_a_file_beside(folder: ModelFolder, tmp_path: Path) -> None:
    config = peft_configs()["alpha"]
    trained(folder, config).save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    save_file(load_file(file), file, {"lora_alpha": "4", "r": "4", "use_rslora": "True"})
    found = open_lora(str(tmp_path), 1.0, folder)
    assert {layer.factor for layer in found.layers.values()} == {2.0}
    assert found.config_sha256 == "" and "adapter_config_sha256" not in found.record()


def test_a_config_beside_belongs_to_pefts_own_file(folder: ModelFolder, tmp_path: Path) -> None:
    trained(folder, peft_configs()["alpha"]).save_pretrained(tmp_path)
    other = tmp_path / "other.safetensors"
    save_file(load_file(tmp_path / "adapter_model.safetensors"), other)
    assert {layer.factor for layer in open_lora(str(other), 1.0, folder).layers.values()} == {1.0}
    own = open_lora(str(tmp_path / "adapter_model.safetensors"), 1.0, folder)
    assert {layer.factor for layer in own.layers.values()} == {0.5}
    assert own.name == tmp_path.name and len(own.record()["adapter_config_sha256"]) == 64


# every trainer's names --------------------------------------------------------------------------------------------

DOTTED = ("", "transformer.", "base_model.model.", "base_model.model.transformer.", "diffusion_model.",
          "model.diffusion_model.", "unet.", "module.", "_orig_mod.", "transformer._orig_mod.")  # fmt: skip
FLAT = ("lora_transformer_", "lora_unet_", "lycoris_", "lycoris_transformer_", "lora_")
SUFFIXES = (
    ("lora_A.weight", "lora_B.weight"),
    ("lora_A.default.weight", "lora_B.default.weight"),
    ("lora_A.default_0.weight", "lora_B.default_0.weight"),
    ("lora_down.weight", "lora_up.weight"),
    ("lora.down.weight", "lora.up.weight"),
    ("lora_linear_layer.down.weight", "lora_linear_layer.up.weight"),
    ("lora_A", "lora_B"),
)


@pytest.mark.parametrize("suffix", SUFFIXES, ids=lambda s: s[0])
@pytest.mark.parametrize("prefix", [*DOTTED, *FLAT])
def test_every_name_that_trainers_write(
    folder: ModelFolder, tmp_path: Path, prefix: str, suffix: tuple[str, str]
) -> None:
    modules = layers_of(folder.denoiser_config)
    tensors = {}
    for module, (out, into, *kernel) in modules.items():
        stem = prefix + (module.replace(".", "_") if prefix in FLAT else module)
        tensors[f"{stem}.{suffix[0]}"] = torch.ones(2, into, *kernel)
        tensors[f"{stem}.{suffix[1]}"] = torch.ones(out, 2, *(1 for _ in kernel))
        tensors[f"{stem}.alpha"] = torch.tensor(1.0)
    save_file(tensors, tmp_path / "x.safetensors")
    found = open_lora(str(tmp_path / "x.safetensors"), 1.0, folder)
    assert found.layers.keys() == modules.keys()
    assert {layer.factor for layer in found.layers.values()} == {0.5}


def test_names_of_old_attention_processors(folder: ModelFolder, tmp_path: Path) -> None:
    tensors = {}
    for leaf in ("to_q", "to_out"):
        stem = f"unet.transformer_blocks.0.attn1.processor.{leaf}_lora"
        tensors |= {f"{stem}.down.weight": torch.ones(2, 32), f"{stem}.up.weight": torch.ones(32, 2)}
    save_file(tensors, tmp_path / "x.safetensors")
    found = open_lora(str(tmp_path / "x.safetensors"), 1.0, folder)
    assert found.layers.keys() == {"transformer_blocks.0.attn1.to_q", "transformer_blocks.0.attn1.to_out.0"}


def test_alpha_and_rank_of_each_layer(folder: ModelFolder, tmp_path: Path) -> None:
    """kohya's scripts: alpha / rank layer by layer, alpha 0 stands for the rank, none gives 1."""
    tensors, wanted = {}, {}
    for n, (leaf, alpha) in enumerate((("to_q", 1.0), ("to_k", 6.0), ("to_v", 0.0), ("to_out.0", None))):
        module = f"transformer_blocks.0.attn1.{leaf}"
        stem = f"lora_unet_{module.replace('.', '_')}"
        tensors |= {f"{stem}.lora_down.weight": torch.ones(n + 1, 32), f"{stem}.lora_up.weight": torch.ones(32, n + 1)}
        if alpha is not None:
            tensors[f"{stem}.alpha"] = torch.tensor(alpha, dtype=torch.bfloat16)
        wanted[module] = alpha / (n + 1) if alpha else 1.0
    save_file(tensors, tmp_path / "x.safetensors", {"ss_network_alpha": "64", "ss_network_dim": "1"})
    found = open_lora(str(tmp_path / "x.safetensors"), 1.0, folder)
    assert {module: layer.factor for module, layer in found.layers.items()} == wanted


# LyCORIS ----------------------------------------------------------------------------------------------------------


@st.composite
def lycoris_modules(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "algo": draw(st.sampled_from(["locon", "loha", "lokr"])),
        "module": draw(st.sampled_from([LINEAR, CONV])),
        "multiplier": draw(st.sampled_from([1.0, 1.0, 0.5, -0.7, 2.0])),
        "lora_dim": draw(st.integers(1, 5)),
        "alpha": draw(st.sampled_from([1.0, 2.5, 8.0])),
        "rs_lora": draw(st.booleans()),
        "use_tucker": draw(st.booleans()),
        "weight_decompose": draw(st.booleans()),
        "wd_on_out": draw(st.booleans()),
        "factor": draw(st.sampled_from([-1, 2, 4])),
        "decompose_both": draw(st.booleans()),
        "unbalanced_factorization": draw(st.booleans()),
        "full_matrix": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lycoris_modules())
def test_what_lycoris_computes(folder: ModelFolder, tmp_path: Path, wanted: dict[str, Any]) -> None:
    """Its modules, saved as LyCORIS saves them, against their own forward on a layer of the model."""
    from lycoris.modules.locon import LoConModule
    from lycoris.modules.loha import LohaModule
    from lycoris.modules.lokr import LokrModule

    algo, module, seed, multiplier = (wanted.pop(k) for k in ("algo", "module", "seed", "multiplier"))
    layer: Any = load_denoiser(folder, CPU, FP32).get_submodule(module)
    made = {"locon": LoConModule, "loha": LohaModule, "lokr": LokrModule}[algo]("x", layer, multiplier, **wanted)
    noise = torch.Generator().manual_seed(seed)
    for name, p in made.named_parameters():
        if "dora_scale" in name:
            p.data = p.data * (0.7 + torch.rand(p.shape, generator=noise))
        else:
            p.data = torch.randn(p.shape, generator=noise) * 0.3
    if algo == "lokr" and made.use_w1 and made.use_w2:
        made.scale = 1.0  # what LyCORIS has after loading the file: there is no rank in it
    stem = "lycoris_" + module.replace(".", "_")
    tensors = {f"{stem}.{k}": v.detach().clone().contiguous() for k, v in made.custom_state_dict().items()}
    save_file(tensors, tmp_path / "x.safetensors")
    ours = Adapters([open_lora(str(tmp_path / "x.safetensors"), multiplier, folder)], True)(
        f"{module}.weight", layer.weight
    )
    with torch.no_grad():
        window = torch.eye(layer.weight[0].numel()).reshape(-1, *layer.weight.shape[1:])  # each number of a row once
        theirs = made(window).flatten(1).t() - layer.bias[:, None]
    torch.testing.assert_close(ours.flatten(1), theirs, rtol=1e-6, atol=1e-6)


FACTORS = ["lora_A.weight", "lora_B.weight", "lora_mid.weight", "lora_magnitude_vector", "dora_scale", "alpha"] + [
    f"{kind}_{name}"
    for kind, names in (("hada", "w1_a w1_b w2_a w2_b t1 t2"), ("lokr", "w1 w1_a w1_b w2 w2_a w2_b t2"))
    for name in names.split()
]
SHAPES = st.lists(st.sampled_from([1, 2, 2, 4, 8, 16, 32]), max_size=4)


@st.composite
def factors(draw: st.DrawFn) -> dict[str, list[int]]:
    """Mostly what belongs together, in shapes that often fit."""
    kind = draw(st.sampled_from(["lora", "hada", "lokr"]))
    names = [n for n in FACTORS if n.startswith(kind)] + ["dora_scale", "alpha"]
    chosen = draw(st.sets(st.sampled_from(names), min_size=2)) | draw(
        st.sampled_from([set(), {FACTORS[0], FACTORS[1]}])
    )
    likely = {
        "lora_A.weight": [2, 32], "lora_B.weight": [32, 2], "lora_mid.weight": [2, 2, 2, 2],
        "lora_magnitude_vector": [32],
        "hada_w1_a": [32, 2], "hada_w1_b": [2, 32], "hada_w2_a": [32, 2], "hada_w2_b": [2, 32], "hada_t1": [2, 2, 2, 2],
        "lokr_w1": [4, 8], "lokr_w1_a": [4, 2], "lokr_w1_b": [2, 8], "lokr_w2": [8, 4], "lokr_w2_a": [8, 2],
        "lokr_w2_b": [2, 4],
        "dora_scale": [32, 1], "alpha": [],
    }  # fmt: skip
    return {n: draw(st.just(likely[n]) | SHAPES) if n in likely else draw(SHAPES) for n in sorted(chosen)}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(factors(), st.sampled_from(["transformer_blocks.1.attn1.to_k", CONV]))
def test_what_is_accepted_can_be_computed(
    folder: ModelFolder, tmp_path: Path, shapes: dict[str, list[int]], module: str
) -> None:
    save_file({f"{module}.{name}": torch.rand(shape) for name, shape in shapes.items()}, tmp_path / "x.safetensors")
    try:
        lora = open_lora(str(tmp_path / "x.safetensors"), 0.5, folder)
    except (BrokenWeights, LoraForOther):
        return
    weight = torch.rand(layers_of(folder.denoiser_config)[module])
    merged = Adapters([lora], True)(f"{module}.weight", weight)
    assert merged.shape == weight.shape and merged.isfinite().all() and not torch.equal(merged, weight)


# everywhere the same ----------------------------------------------------------------------------------------------


def predicted(model: Any) -> Tensor:
    noise = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        captions = model.captions([torch.randn(5, model.config.caption_channels, generator=noise)])
        found: Tensor = model(torch.randn(1, 4, 8, 8, generator=noise), torch.tensor([500.0]), captions)
    return found


@pytest.mark.parametrize("name", ["patterns-rslora", "dora", "loha-cp", "lokr-both", "lokr-cp"])
def test_merged_beside_exported_and_sent(folder: ModelFolder, tmp_path: Path, name: str) -> None:
    """One prediction, however the adapter is used; and PEFT's own, unmerged, is the same."""
    from engine.export.part_export import load_part

    model = trained(folder, peft_configs()[name])
    model.save_pretrained(tmp_path / "a")
    trained(folder, peft_configs()["dora"], seed=1).save_pretrained(tmp_path / "b")
    loras = [open_lora(str(tmp_path / "a"), 0.8, folder), open_lora(str(tmp_path / "b"), 0.5, folder)]
    merged = predicted(load_denoiser(folder, CPU, FP32, loras))
    assert (merged - predicted(load_denoiser(folder, CPU, FP32))).abs().max() > 0.01
    for others in (loras, loras[::-1]):
        torch.testing.assert_close(
            predicted(load_denoiser(folder, CPU, FP32, others, merged=False)), merged, rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(predicted(load_denoiser(folder, CPU, FP32, others)), merged, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(predicted(load_part("transformer", folder, FP32, loras)[0].model), merged)
    sent = []
    for one in loras:  # a machine of a cluster gets the file alone
        there = tmp_path / f"{one.name}-there.safetensors"
        there.write_bytes(one.path.read_bytes())
        sent.append(open_lora(str(there), one.scale, folder, json.loads(json.dumps(one.to_wire()))))
    assert [one.record() for one in sent] == [one.record() for one in loras]
    assert torch.equal(predicted(load_denoiser(folder, CPU, FP32, sent)), merged)


def test_a_cluster_computes_with_the_settings_of_the_sender(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node gets the adapter's file alone; what lies beside its copy there decides nothing."""
    from engine.cluster.actor import EngineActor
    from engine.cluster.model_bundle import ModelBundle, find_lora, receive_chunk
    from engine.contract.request import ImageRequest

    trained(folder, peft_configs()["patterns-rslora"]).save_pretrained(tmp_path / "peft")
    name = str(tmp_path / "peft")
    here = open_lora(name, 0.7, folder)
    bundle = ModelBundle(ImageRequest(prompt="a", seed=1, model=str(folder.root), loras=((name, 0.7),)))
    manifest = json.loads(json.dumps(bundle.manifest))
    data = here.path.read_bytes()
    here.path.unlink()  # another machine: nothing lies there under this path
    monkeypatch.setenv("COMMONART_HOME", str(tmp_path / "node"))
    (key,) = EngineActor({}, "n").open(manifest, False)["missing"]
    receive_chunk(manifest, key, 0, True, data, "n")
    (there,) = map(find_lora, manifest["loras"])
    assert there is not None
    (there.parent / "adapter_config.json").write_text(json.dumps({"lora_alpha": 99}), encoding="utf-8")
    actor = EngineActor({"kind": "pytorch", "device": "cpu", "memory": None}, "n")
    facts = actor.open(manifest, False)
    assert facts["loras"] == [here.record() | {"merged": True}] and here.name == "peft"
    here.path.write_bytes(data)
    wanted = load_denoiser(folder, CPU, FP32, [here]).state_dict()
    assert all(torch.equal(w, wanted[k]) for k, w in actor._backend._denoiser.state_dict().items())


@pytest.mark.parametrize("name", ["patterns", "dora", "lokr", "loha-cp"])
def test_beside_is_what_peft_draws_unmerged(folder: ModelFolder, tmp_path: Path, name: str) -> None:
    model = trained(folder, peft_configs()[name])
    model.save_pretrained(tmp_path)
    noise = torch.Generator().manual_seed(3)
    latents, caption = torch.randn(1, 4, 8, 8, generator=noise), torch.randn(1, 5, 32, generator=noise)
    time = torch.tensor([500.0])
    with torch.inference_mode():
        theirs = model(
            latents, encoder_hidden_states=caption, timestep=time, return_dict=False,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        )[0]  # fmt: skip
        ours = load_denoiser(folder, CPU, FP32, [open_lora(str(tmp_path), 1.0, folder)], merged=False)
        got = ours(latents, time, ours.captions([caption[0]]))
    torch.testing.assert_close(got, theirs, rtol=1e-5, atol=2e-5)


def test_strength_zero_leaves_all_alone(folder: ModelFolder, tmp_path: Path) -> None:
    trained(folder, peft_configs()["dora"]).save_pretrained(tmp_path)
    plain = predicted(load_denoiser(folder, CPU, FP32))
    for merged in (True, False):
        lora = open_lora(str(tmp_path), 0.0, folder)
        assert torch.equal(predicted(load_denoiser(folder, CPU, FP32, [lora], merged=merged)), plain)


def test_size_embedders_of_pixart_alpha(tmp_path: Path) -> None:
    """PixArt-α at 1024 has layers that others have not; PEFT's "linear_1" takes them too."""
    from peft import LoraConfig

    folder = identify(make_pipeline(tmp_path / "alpha", kind="alpha"))
    model = trained(folder, LoraConfig(r=2, lora_alpha=3, target_modules=["linear_1", "linear_2"]))
    model.save_pretrained(tmp_path / "peft")
    theirs = model.merge_and_unload().state_dict()
    assert_same(merged_here(folder, tmp_path / "peft"), theirs, load_denoiser(folder, CPU, FP32).state_dict(), 8)
