"""``python -m trainer CONFIG.toml [--resume] [--set key=value ...]``: run a training.

Events go to standard output, commands are read from standard input.

``accelerate launch -m trainer CONFIG.toml`` runs it on many devices; ``python -m trainer.launch`` starts that.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from engine.contract import training_events as events
from engine.contract.errors import CommonArtError, EngineStopped
from engine.contract.events import Event
from engine.system.json_program import JsonArgumentParser, own_stdout


def main() -> int:
    """Run the training; the exit status is 0 done, 1 failed, 2 wrong usage, 130 stopped with everything saved."""
    out = own_stdout()
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ[name] = "1"
    # MKL picks kernels by memory alignment; a resumed run must round as the first did. It is read when torch is loaded.
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    lock = threading.Lock()

    def notify(event: Event) -> None:
        try:
            with lock:
                out.write(events.encode(event) + "\n")
        except (OSError, ValueError):
            pass  # nobody reads any more; the log has it

    debug = "--debug" in sys.argv
    processes = None
    try:
        parser = JsonArgumentParser(prog="python -m trainer", description=__doc__)
        parser.add_argument("config", type=Path)
        parser.add_argument("--resume", action="store_true", help="continue from the last valid checkpoint")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="override the file, such as optimiser.lr=1e-4",
        )
        parser.add_argument("--attached", action="store_true", help="save and stop when standard input closes")
        parser.add_argument("--commands", type=Path, metavar="FILE", help="commands are appended to it, too")
        parser.add_argument("--debug", action="store_true", help="tracebacks on standard error")
        args = parser.parse_args()
        from trainer.config_file import read_config

        config = read_config(args.config, args.set)

        from trainer.learn.commands import Commands
        from trainer.learn.distributed.processes import Processes
        from trainer.learn.loop import Trainer

        processes = Processes(config.device.device)
        processes.on_lost(lambda error: notify(events.Broken(error=error.to_wire())))
        commands = Commands()
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), lambda *_: commands.put("quit"))
        if sys.stdin is not None and processes.first:  # processes started together share one standard input
            threading.Thread(
                target=commands.listen, args=(sys.stdin.buffer,), kwargs={"attached": args.attached}, daemon=True
            ).start()
        if args.commands is not None and processes.first:
            threading.Thread(target=commands.follow, args=(args.commands,), daemon=True).start()
        last = Trainer(config, notify, commands, processes, resume=args.resume).run()
        return 130 if isinstance(last, events.Stopped) and processes.first else 0
    except CommonArtError as e:
        if debug:
            traceback.print_exc()
        if processes.failed(e) if processes is not None else os.environ.get("LOCAL_RANK", "0") == "0":
            notify(events.Broken(error=e.to_wire()))
        return e.exit_status
    except Exception as e:  # a bug: reported as one sentence, with the traceback on request
        lost = processes.explain(e) if processes is not None else None  # or the loss of another process
        if debug and lost is None:
            traceback.print_exc()
        error = lost or EngineStopped(why=f"{type(e).__name__}: {e}")
        if processes is None or processes.failed(error):
            notify(events.Broken(error=error.to_wire()))
        return error.exit_status
    finally:
        if processes is not None:
            processes.close()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # without waiting for native thread pools
