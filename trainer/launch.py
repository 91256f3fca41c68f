"""``python -m trainer.launch --accelerate NAME|FILE [--launch KEY=VALUE ...] CONFIG.toml [OPTION ...]``.

Starts the trainer's processes (``python -m trainer CONFIG.toml [OPTION ...]``) through accelerate's launcher according
to its configuration file; a name is one of ``resources/presets/accelerate``. Events, commands and the exit status are
those of ``python -m trainer``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.contract.errors import BadAccelerate, BadFile, CommonArtError, Phrase
from engine.contract.events import Broken, encode
from engine.system.json_program import JsonArgumentParser

FILES = Path(__file__).resolve().parent.parent / "resources" / "presets" / "accelerate"
#: options allowed in addition to the file: where and how many processes, nothing that names a program
KEYS = (
    "num_processes",
    "num_machines",
    "machine_rank",
    "main_process_ip",
    "main_process_port",
    "gpu_ids",
    "num_cpu_threads_per_process",
    "mixed_precision",
)


def names() -> list[str]:
    """The names of the files that come with the program."""
    return sorted(p.stem for p in FILES.glob("*.yaml"))


def accelerate_file(wanted: str) -> Path:
    """The accelerate file of that name or path.

    Raises:
        BadAccelerate: there is none.
    """
    path = FILES / f"{wanted}.yaml" if wanted in names() else Path(wanted)
    if not path.is_file():
        raise BadAccelerate(
            path=wanted, why=Phrase("there is no such file, and no name but {names}", names=", ".join(names()))
        )
    return path


def arguments(path: Path, options: Sequence[str], gpus: int) -> list[str]:
    """The options of accelerate's launcher.

    They are the file, ``options`` (KEY=VALUE), and the number of processes if not given.

    ``gpus`` is the number of GPUs of this machine.

    Raises:
        BadAccelerate: accelerate cannot read the file, or it requests what the trainer does not support.
    """
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.utils import DistributedType

    def wrong(why: Phrase) -> BadAccelerate:
        return BadAccelerate(path=path, why=why)

    given: dict[str, str] = {}
    for one in options:
        key, equals, value = one.partition("=")
        if key not in KEYS or not equals or not value or value.startswith("-"):
            raise wrong(Phrase("{one} is not one of {keys} with a value", one=one, keys=", ".join(KEYS)))
        given[key] = value
    try:
        config: Any = load_config_from_file(str(path))
    except OSError as e:
        raise BadFile(path=path, why=str(e.strerror or e)) from e
    except Exception as e:  # errors of YAML and accelerate, of many classes
        reason = next((x.strip() for x in str(e).splitlines() if x.strip()), type(e).__name__)[:300]
        raise wrong(Phrase("accelerate does not understand it ({reason})", reason=reason)) from e
    if config.distributed_type not in (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.FSDP):
        raise wrong(
            Phrase(
                "distributed_type must be NO, MULTI_GPU or FSDP, not {found}",
                found=getattr(config.distributed_type, "value", "?"),
            )
        )
    try:
        machines = int(given.get("num_machines", config.num_machines))
        count = int(given.get("num_processes", config.num_processes))
    except (TypeError, ValueError) as e:
        raise wrong(Phrase("num_machines and num_processes must be whole numbers")) from e
    if count < 1:
        count = gpus * machines
        if not count:
            raise wrong(Phrase("this machine has no GPU that PyTorch can use; say num_processes, or take the file cpu"))
    if not config.use_cpu and config.distributed_type != DistributedType.NO and count // machines > gpus > 0:
        raise wrong(
            Phrase(
                "it asks for {count} processes on a machine, which has {gpus} GPU(s)",
                count=count // machines,
                gpus=gpus,
            )
        )
    given |= {"num_processes": str(count), "num_machines": str(machines)}
    if "num_cpu_threads_per_process" not in given and "OMP_NUM_THREADS" not in os.environ:
        given["num_cpu_threads_per_process"] = str(max(1, (os.cpu_count() or 1) // max(1, count // machines)))
    if machines == 1 and config.main_process_port is None and "main_process_port" not in given:
        given["main_process_port"] = "0"  # any free port: two trainings on one machine do not collide
    return ["--config_file", str(path), *(x for k, v in given.items() for x in (f"--{k}", v))]


def main() -> int:
    """Start the processes; the exit status is 0 done, 1 failed, 2 wrong usage, 130 stopped with everything saved."""
    try:
        parser = JsonArgumentParser(prog="python -m trainer.launch", description=__doc__)
        parser.add_argument("--accelerate", required=True, metavar="NAME|FILE")
        parser.add_argument("--launch", action="append", default=[], metavar="KEY=VALUE", help=", ".join(KEYS))
        args, rest = parser.parse_known_args()
        path = accelerate_file(args.accelerate)
        import torch

        options = arguments(path, args.launch, torch.cuda.device_count())
    except CommonArtError as e:
        print(encode(Broken(error=e.to_wire())), flush=True)
        return e.exit_status
    return launch([*options, "--module", "trainer", *rest])


def launch(command: list[str]) -> int:
    """Run accelerate's launcher in this process.

    Failed processes report their errors by themselves; this prints one line for each.
    """
    import subprocess

    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ.setdefault("TORCHELASTIC_ERROR_FILE", os.devnull)
    os.environ["PYTHONSAFEPATH"] = "1"  # see engine.contract.python_process; the launcher builds the commands itself
    try:
        launch_command(launch_command_parser().parse_args(command))
    except ChildFailedError as e:
        for rank, failure in sorted(e.failures.items()):
            print(f"process {rank + 1} (pid {failure.pid}) ended with exit status {failure.exitcode}", file=sys.stderr)
        codes = [f.exitcode for f in e.failures.values()]
        return next((c for c in (130, 2) if c in codes), 1)
    except subprocess.CalledProcessError as e:
        return e.returncode if e.returncode in (2, 130) else 1
    except (SignalException, KeyboardInterrupt):
        return 130
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
