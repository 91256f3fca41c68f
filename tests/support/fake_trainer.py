"""``python -m tests.support.fake_trainer CONFIG --commands FILE [--resume]``: the trainer's events, files, lock and
commands, and no learning.

``seed`` in the configuration chooses what happens: 0 all goes well, 1 it dies at step 3 unless it is resumed, 2 it
refuses.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
import tomllib
from pathlib import Path

from engine.contract import training_events as events
from engine.contract.errors import GateClosed, Phrase
from engine.contract.ledger.process_lock import ProcessLock

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c6338"
    "6164040002f2012dac6a27eb0000000049454e44ae426082"
)  # one red pixel


def say(event: events.Event) -> None:
    print(events.encode(event), flush=True)


def main() -> int:
    path, commands = Path(sys.argv[1]), Path(sys.argv[sys.argv.index("--commands") + 1])
    config = tomllib.loads(path.read_text(encoding="utf-8"))
    out, steps, resume = path.parent / config["output"], config["schedule"]["steps"], "--resume" in sys.argv
    lock = ProcessLock(out / ".lock")
    assert lock.take()
    if config.get("seed") == 2:
        say(events.Broken(error=GateClosed(path="set", count=1, file="a.png", why=Phrase("it is not JSON")).to_wire()))
        lock.drop(remove=True)
        return 1
    say(events.Preparing(what="gate", done=1, total=2))
    heard, at, step, paused = 0, [], 3 if resume else 0, False
    say(
        events.Started(
            output=str(out),
            kind="lora",
            model="m",
            device="cpu",
            dtype="fp32",
            step=step,
            steps=steps,
            pictures=9,
            heldout=1,
            trainable=5,
            batch=2,
            micro=2,
            processes=1,
        )
    )

    def save() -> None:
        (out / "checkpoints" / f"step-{step:08d}").mkdir(parents=True, exist_ok=True)
        say(events.Saved(step=step, path=str(out / "checkpoints" / f"step-{step:08d}")))

    def sample() -> None:
        (out / "previews").mkdir(exist_ok=True)
        picture = out / "previews" / f"step-{step:08d}-1.png"
        picture.write_bytes(PNG)
        say(events.Preview(step=step, path=str(picture), prompt="すし", seed=1))

    while step < steps or paused:
        lines = commands.read_text().splitlines() if commands.exists() else []
        at, heard = lines[heard:], len(lines)
        for line in at:
            command = json.loads(line)["command"]
            if command in ("pause", "resume"):
                paused = command == "pause"
                say(events.Paused() if paused else events.Resumed())
            elif command == "save":
                save()
            elif command == "sample":
                sample()
            elif command == "quit":
                save()
                say(events.Stopped(step=step, path="x"))
                lock.drop(remove=True)
                return 130
        time.sleep(0.005)
        if paused:
            continue
        step += 1
        say(events.Step(step=step, steps=steps, loss=0.5 / step, lr=1e-4, norm=1.0, speed=4.0, eta=120.0))
        if step == 3:
            save()
            sample()
            say(events.HeldoutLoss(step=3, loss=0.4, best=True))
            say(
                events.Note(
                    template="The held-out loss rises while the training loss falls: the model begins to learn its "
                    "images by heart "
                    "(best at step {step})",
                    fields={"step": 3},
                )
            )
            if config.get("seed") == 1 and not resume:
                os._exit(9)
    header = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    result = out / f"{config['name']}.safetensors"
    result.write_bytes(struct.pack("<Q", len(header)) + header)
    for name in ("gate-report.json", "ATTRIBUTION.md", "README.md", "bom.cdx.json"):
        (out / name).write_text("{}", encoding="utf-8")
    say(
        events.Finished(
            step=step, path=str(result), sha256="0" * 64, report=str(out / "report.html"), loss=0.1, heldout=0.4
        )
    )
    lock.drop(remove=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
