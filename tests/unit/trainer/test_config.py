"""Training configurations: every wrong key, type and value is named, with the nearest right one; presets are whole."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.contract import training_events as events
from engine.contract.errors import BadConfig, BadFile, CommonArtError, ProtocolError
from tests.support.paths import ROOT
from trainer.config import Config, Dataset
from trainer.config_file import presets, read_config
from trainer.learn.commands import Commands
from trainer.learn.distributed.processes import Processes
from trainer.learn.loop import Trainer

PLAIN = 'output = "run"\n[base]\nmodel = "commonart-mini"\n[[dataset]]\nfolder = "pictures"\n[schedule]\nsteps = 10\n'


def written(folder: Path, text: str = PLAIN) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ("optimiser.lrr=1e-4", "optimiser.lrr", "did you mean lr?"),
        ("lr=1e-4", "lr", "did you mean optimiser.lr?"),
        ("optimiser.learning_rate=1e-4", "optimiser.learning_rate", "did you mean lr?"),
        ("train_batch_size=4", "train_batch_size", "did you mean batch.size?"),
        ("optimizer.lr=1e-4", "optimizer", "did you mean optimiser?"),
        ("optimiser.name=adam", "optimiser.name", "did you mean adamw?"),
        ("kind=lroa", "kind", "did you mean lora?"),
        ("batch.size=4.5", "batch.size", "a whole number"),
        ('batch.size="4"', "batch.size", "a whole number"),
        ("ema.decay=true", "ema.decay", "a number"),
        ("data.buckets=1", "data.buckets", "true or false"),
        ("data.flip=1.5", "data.flip", "between 0 and 1"),
        ("batch.size=0", "batch.size", "between 1 and"),
        ("optimiser.lr=0", "optimiser.lr", "between 0 and 10"),
        ("optimiser.lr=nan", "optimiser.lr", "between 0 and 10"),
        ("lora=3", "lora", "a section, [lora]"),
        ("lora.layers=attn", "lora.layers", "a list"),
        ("lora.layers=[1]", "lora.layers[0]", "text in quotes"),
        ("schedule.epochs=2", "schedule.steps", "either"),
        ("optimiser.betas=[0.9]", "optimiser.betas", "2 numbers"),
        ("output=", "output", "missing"),
        ("device.sharding=fsdp2", "device.sharding", "use ddp"),
        ("preset=train-9gb", "preset", "did you mean train-"),
        ("nonsense", "nonsense", "section.key=value"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: str, key: str, words: str) -> None:
    text = PLAIN
    if change.startswith("preset"):  # a preset is read before changes
        text, change = f'preset = "{change.partition("=")[2]}"\n' + PLAIN, "seed=1"
    with pytest.raises(BadConfig) as caught:
        read_config(written(tmp_path, text), [change])
    assert caught.value.fields["key"] == key
    assert words in str(caught.value)
    assert caught.value.exit_status == 2


def test_no_toml_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="not TOML"):
        read_config(written(tmp_path, "a = = b"))
    with pytest.raises(BadFile, match="no such file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "sjis.toml").write_bytes('name = "猫"'.encode("cp932"))
    with pytest.raises(BadFile, match="not TOML"):
        read_config(tmp_path / "sjis.toml")


def test_the_file_lies_over_its_preset_and_under_the_command_line(tmp_path: Path) -> None:
    path = written(tmp_path, 'preset = "train-8gb"\n' + PLAIN + "[batch]\nsize = 6\n")
    config = read_config(path, ["batch.accumulation=3", "previews.prompts=['猫', 'a \"red\" bird']"])
    assert (config.batch.size, config.batch.accumulation, config.batch.micro) == (6, 3, 2)
    assert config.device.checkpointing
    assert config.previews.prompts == ("猫", 'a "red" bird')
    assert config.output == str(tmp_path / "run")
    assert config.name == "run"
    assert config.dataset[0].folder == str(tmp_path / "pictures")
    assert config.base.model == "commonart-mini"  # a name stays one


@pytest.mark.parametrize("name", presets())
def test_presets_are_whole(tmp_path: Path, name: str) -> None:
    text = PLAIN.replace("[schedule]\nsteps = 10\n", "") if name == "mini-denoiser" else PLAIN
    config = read_config(written(tmp_path, f'preset = "{name}"\n' + text))
    assert config.kind == ("full" if name == "mini-denoiser" else "lora")
    assert set(presets()) == {"train-8gb", "train-16gb", "train-24gb", "mini-denoiser"}


def test_the_bundled_models_recipe(tmp_path: Path) -> None:
    """The preset goes on from the model that is shipped, in its own terms."""
    config = read_config(
        written(tmp_path, 'preset = "mini-denoiser"\n' + PLAIN.replace("[schedule]\nsteps = 10\n", ""))
    )
    assert config.kind == "full" and config.base.model == "commonart-mini" and not config.data.buckets
    scheduler = json.loads(
        (ROOT / "resources" / "models" / "commonart-mini" / "scheduler" / "scheduler_config.json").read_text(
            encoding="utf-8"
        )
    )
    assert config.loss.prediction == scheduler["prediction_type"]


def test_what_is_bound_to_a_run(tmp_path: Path) -> None:
    config = read_config(written(tmp_path))
    moved = dataclasses.replace(config, output="elsewhere", checkpoint=dataclasses.replace(config.checkpoint, keep=9))
    assert moved.sha256 == config.sha256
    assert dataclasses.replace(config, seed=1).sha256 != config.sha256
    assert "optimiser.lr" in config.bound()


def test_the_config_needs_the_standard_library_only() -> None:
    code = (
        "import sys, trainer.config, trainer.config_file; print([m for m in ('numpy', 'torch', 'PIL', "
        "'safetensors') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_events_go_over_the_wire() -> None:
    for event in (
        events.Step(step=1, steps=2, loss=0.5, lr=1e-4, norm=1.0, speed=3.0, eta=1.0),
        events.Note(template="{a}", fields={"a": 1}),
        events.Finished(step=2, path="x", sha256="y", report="z"),
        events.Broken(error={"kind": "x"}),
    ):
        assert events.decode(events.encode(event)) == event
    for line in ("", "[]", '{"event": "saved"}', '{"event": "step", "step": 1}'):
        with pytest.raises(ProtocolError):
            events.decode(line)
    assert events.decode_command('{"command": "sample"}') == "sample"
    with pytest.raises(ProtocolError):
        events.decode_command('{"command": "cancel"}')


def test_every_field_has_its_default() -> None:
    assert Config().batch.size > 0


def test_every_key_is_documented() -> None:
    table = (
        (ROOT / "docs" / "training.md").read_text(encoding="utf-8").partition("## Every key")[2].partition("\n## ")[0]
    )
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    for f in dataclasses.fields(Config):
        inner = f.default if dataclasses.is_dataclass(f.default) else Dataset() if f.name == "dataset" else None
        section = f"{f.name}[]" if f.name == "dataset" else f.name
        if inner is None:
            assert any(f"`{f.name}`" in row for row in rows), f.name
            continue
        own = " ".join(row for row in rows if f"`{section}." in row)
        assert all(re.search(rf"\b{g.name}\b", own) for g in dataclasses.fields(inner)), section


def test_what_cannot_run_is_told_before_the_pictures_are_read(tmp_path: Path) -> None:
    """The dataset's folder is not even there; what is named is the wrong key, and no report was begun."""
    for change, key in (
        ('[lora]\nlayers = ["no.such"]\n', "lora.layers"),
        ('[optimiser]\nname = "adamw8bit"\n[device]\ndevice = "cpu"\n', "adamw8bit"),
    ):
        config = read_config(written(tmp_path, PLAIN + change))
        with pytest.raises(CommonArtError, match=key):
            Trainer(config, lambda event: None, Commands(), Processes("cpu")).run()
        assert not (tmp_path / "run" / "gate-report.json").exists()
