"""The accelerate and cluster files that come with the program: read by those that will read them."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.contract.errors import BadAccelerate, BadFile
from tests.support.training_runs import ROOT
from trainer.config_file import read_config
from trainer.launch import FILES, accelerate_file, arguments, names
from trainer.learn.distributed.sharding import Sharding

CLUSTERS = sorted((ROOT / "resources" / "cluster").glob("*.yaml"))


def environment(name: str, *said: str, gpus: int = 4) -> tuple[argparse.Namespace, dict[str, str]]:
    """What accelerate makes of a file: its arguments after reading it, and what the processes will see."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env, prepare_simple_launcher_cmd_env

    options = arguments(accelerate_file(name), said, gpus)
    args, _, _ = _validate_launch_command(
        launch_command_parser().parse_args([*options, "--module", "trainer", "x.toml"])
    )
    many = args.multi_gpu or args.use_fsdp
    return args, prepare_multi_gpu_env(args) if many else prepare_simple_launcher_cmd_env(args)[1]


def test_every_file_is_understood_by_accelerate() -> None:
    assert set(names()) == {"one-gpu", "many-gpus", "many-machines", "fsdp2", "cpu"}
    counted = {}
    for name in names():
        args, _ = environment(name)
        counted[name] = (
            args.num_processes,
            args.num_machines,
            bool(args.multi_gpu),
            bool(args.use_fsdp),
            bool(args.use_cpu),
        )
    assert counted == {
        "one-gpu": (1, 1, False, False, False),
        "many-gpus": (4, 1, True, False, False),
        "many-machines": (8, 2, True, False, False),
        "fsdp2": (4, 1, False, True, False),
        "cpu": (2, 1, True, False, True),
    }


def test_what_is_said_beside_the_file_wins() -> None:
    args, _ = environment(
        "many-machines", "num_machines=3", "machine_rank=2", "main_process_ip=10.1.1.1", "main_process_port=4000"
    )
    assert (
        args.num_processes,
        args.num_machines,
        args.machine_rank,
        args.main_process_ip,
        str(args.main_process_port),
    ) == (12, 3, 2, "10.1.1.1", "4000")
    assert environment("many-gpus", "num_processes=2")[0].num_processes == 2


def test_the_trainer_does_what_an_fsdp_file_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        'kind = "full"\noutput = "o"\n[base]\nmodel = "m"\n[[dataset]]\nfolder = "d"\n[schedule]\nsteps = 1\n',
        encoding="utf-8",
    )
    plain = read_config(config)
    assert not Sharding.of(plain, "fp32").on

    def asked(**changes: str) -> Sharding:
        text = (FILES / "fsdp2.yaml").read_text(encoding="utf-8")
        for key, value in changes.items():
            text = text.replace(
                next(x for x in text.splitlines() if x.strip().startswith(f"{key}:")), f"  {key}: {value}"
            )
        path = tmp_path / "a.yaml"
        path.write_text(text, encoding="utf-8")
        found = environment(str(path))[1]
        for key in [k for k in found if k.startswith(("FSDP_", "ACCELERATE_"))]:
            monkeypatch.setenv(key, found[key])
        return Sharding.of(plain, "fp32")

    assert asked() == Sharding(on=True, reshard=True, checkpointing=False)
    assert asked(fsdp_reshard_after_forward="false", fsdp_activation_checkpointing="true") == Sharding(
        on=True, reshard=False, checkpointing=True
    )
    for refused in ({"fsdp_version": "1"}, {"fsdp_offload_params": "true"}):
        with pytest.raises(Exception, match=next(iter(refused))):
            asked(**refused)
    asked()
    with pytest.raises(Exception, match="LoRA"):
        Sharding.of(read_config(config, ["kind=lora"]), "fp32")
    with pytest.raises(Exception, match="bf16 or fp32"):
        Sharding.of(plain, "fp16")


@pytest.mark.parametrize(
    "text, said, gpus, words",
    [
        ("distributed_type: MULTI_GPU\nnum_processes: 2\nwhat: 1\n", (), 2, "unknown keys"),
        ("distributed_type: [\n", (), 2, "does not understand"),
        ("distributed_type: DEEPSPEED\nnum_processes: 2\n", (), 2, "must be NO, MULTI_GPU or FSDP"),
        ("distributed_type: MULTI_GPU\n", (), 0, "no GPU"),
        ("distributed_type: MULTI_GPU\nnum_processes: 8\n", (), 2, "8 processes"),
        ("distributed_type: MULTI_GPU\nnum_processes: 2\n", ("main_training_function=x",), 2, "is not one of"),
        ("distributed_type: MULTI_GPU\nnum_processes: 2\n", ("num_machines=--module",), 2, "is not one of"),
        ("distributed_type: MULTI_GPU\nnum_processes: 2\n", ("num_machines=x",), 2, "whole numbers"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, text: str, said: tuple[str, ...], gpus: int, words: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((BadAccelerate, BadFile), match=words):
        arguments(path, said, gpus)


def test_an_unknown_name_ends_with_status_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer.launch", "--accelerate", "many", "x.toml"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
    )
    assert done.returncode == 2
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    assert error["kind"] == "bad-accelerate" and "many-gpus" in error["message"]


@pytest.mark.slow  # importing Ray's autoscaler takes as long as all of the above
@pytest.mark.parametrize("path", CLUSTERS, ids=lambda p: p.stem)
def test_cluster_files_are_valid(path: Path) -> None:
    """By Ray's own schema and defaults."""
    util = pytest.importorskip("ray.autoscaler._private.util")
    config = util.prepare_config(yaml.safe_load(path.read_text(encoding="utf-8")))
    util.validate_config(config)
    if config["provider"]["type"] == "local":
        assert config["max_workers"] == len(config["provider"]["worker_ips"])


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda p: p.stem)
def test_cluster_files_are_closed(path: Path) -> None:
    """No administrator, no public address, no port open to the world, the token everywhere."""
    text = path.read_text(encoding="utf-8")
    config = yaml.safe_load(text)
    assert config["auth"]["ssh_user"] not in ("root", "")
    assert "0.0.0.0" not in text and "commonart-desktop[cluster]" in text
    for command in (config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]):
        assert (
            "RAY_AUTH_MODE=token" in command
            and "--max-worker-port=10999" in command
            and "--disable-usage-stats" in command
        )
    assert "--include-dashboard=false" in config["head_start_ray_commands"][-1]
    if config["provider"]["type"] == "aws":
        assert config["provider"]["use_internal_ips"]
        assert all(t["node_config"]["SecurityGroupIds"] for t in config["available_node_types"].values())


def test_launch_alone_says_what_is_missing() -> None:
    from commonart_desktop.cli import train
    from engine.contract.errors import UsageError

    asked = argparse.Namespace(
        config=Path("x.toml"),
        set=[],
        resume=False,
        accelerate="",
        launch=["num_processes=2"],
        json=False,
        quiet=True,
        debug=False,
    )
    with pytest.raises(UsageError, match="--accelerate"):
        train.run(asked)
