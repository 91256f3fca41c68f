"""Makes ``home.zip``: what a person who worked with version 0.1.0 has on the disk. Kept as the record of how it was
made.

Runs with a checkout of version 0.1.0 (commit 7ad03e3), whose modules it imports, and writes into a new folder::

    cd CHECKOUT && python .../tests/data/v0_1_0/make.py /home/user/commonart

That folder's path stands in the files as it would in a user's; the tests put their own in its place (``unpack`` beside
this file). The signing key among them belongs to nobody.

All imports are by the names of version 0.1.0 and stay so when modules are renamed: no later version can run this, and
the files are never made again, or they would no longer be those of version 0.1.0.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
LORA = """output = "runs/washi"
name = "washi"
licence = "CC-BY-4.0"
[base]
model = "commonart-mini"
[[dataset]]
folder = "washi"
[lora]
rank = 1
layers = ["transformer_blocks.[34].attn1.to_q", "transformer_blocks.[34].attn2.to_out.0"]
trigger = "washi style"
[optimiser]
lr = 3e-2
[schedule]
steps = 12
warmup = 1
[batch]
size = 4
[data]
resolution = 64
heldout = 0.2
[heldout]
every = 3
[checkpoint]
every = 3
keep = 1
best = false
[log]
tensorboard = false
"""


class Workspace:
    """A user's folder: ``data`` is the program's, beside it datasets, runs and output folders."""

    def __init__(self, base: Path) -> None:
        self.base, self.data = base, base / "data"
        base.mkdir(parents=True, exist_ok=True)
        self.environment = os.environ | {
            "COMMONART_HOME": str(self.data),
            "COMMONART_LANG": "en",
            "OMP_NUM_THREADS": "1",
            "PYTHONUTF8": "1",
            "HF_HUB_OFFLINE": "1",
            "QT_QPA_PLATFORM": "offscreen",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }
        os.environ.update(self.environment)

    def run(self, *arguments: object, status: int = 0, **environment: str) -> str:
        """A command of the program; what it wrote on standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "commonart_desktop", *map(str, arguments)],
            cwd=self.base,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=self.environment | environment,
            check=False,
        )
        if done.returncode != status:
            raise SystemExit(f"{arguments}: {done.returncode}\n{done.stdout}")
        return done.stdout


def dataset(workspace: Workspace) -> None:
    """Eight images with licences, and what the gate says of them."""
    from tests.pictures import make_dataset

    make_dataset(workspace.base / "drawings", 8, size=40, style="outline")
    workspace.run("dataset", "import", "washi", "--from", "drawings", "--format", "imagefolder")
    (workspace.base / "washi-report").mkdir()
    workspace.run("dataset", "check", "washi", "--out", "washi-report")
    shutil.rmtree(workspace.base / "drawings")


def training(workspace: Workspace) -> None:
    """A finished LoRA; a run of the window that was stopped after its third step; and the end of that run, drawn by
    version 0.1.0.
    """
    from commonart_desktop.core import runs

    config = workspace.base / "washi.toml"
    config.write_text(LORA, encoding="utf-8", newline="\n")
    workspace.run("train", config, "--quiet")
    text = (
        LORA.replace('"runs/washi"', '"result"')
        .replace('folder = "washi"', f'folder = "{workspace.base / "washi"}"')
        .replace('name = "washi"', 'name = "washi-two"')
    )
    run = runs.new_run("washi-two", text + '\n[device]\ndevice = "cpu"\n', kind="lora", device="cpu")
    runs.start(run)
    while run.last().get("step", 0) < 3:
        time.sleep(0.01)
    runs.tell(run, "quit")
    while run.alive:
        time.sleep(0.1)
    again = workspace.base / "again"
    shutil.copytree(run.folder, again)
    workspace.run("train", again / "config.toml", "--resume", "--quiet", "--set", "install=false")
    shutil.copy(again / "result" / "washi-two.safetensors", workspace.base / "washi-two-expected.safetensors")
    shutil.rmtree(again)


def settings(workspace: Workspace) -> None:
    """``settings.toml`` with a table ``[provenance]``, wildcards, and part folders that were given once and are
    remembered.
    """
    from commonart_desktop.core.settings import Provenance, Settings, save_settings
    from tests.models import make_commonart

    provenance = Provenance(
        studio="山田スタジオ", creator="山田花子", rights="© 2026 山田花子", training_mining="notAllowed"
    )
    save_settings(
        Settings(
            language="ja",
            out=str(workspace.base / "outputs"),
            name="{job}/{prompt:20}-{seed}",
            device="cpu",
            dtype="fp32",
            memory="8",
            theme="dark",
            provenance=provenance,
        )
    )
    (workspace.data / "wildcards").mkdir()
    (workspace.data / "wildcards" / "place.txt").write_text("海\n山\n", encoding="utf-8")
    root, encoder, vae = make_commonart(workspace.base / "elsewhere")
    workspace.run("models", "info", root, "--text-encoder", encoder, "--vae", vae)


def images(workspace: Workspace) -> None:
    """Signed and unsigned images in every format, with a preset, with a LoRA, with the prompt kept out, and by an
    export.
    """
    from dataclasses import replace

    from commonart_desktop.core.settings import load_settings, save_settings
    from tests.data.tiny_onnx import unpack

    if not (workspace.data / "models" / "tiny-onnx").exists():
        unpack(workspace.data / "models")
    common = ["--out", workspace.base / "images", "--quiet"]
    small = ["--size", "32x32", *common]
    workspace.run(
        "generate",
        "すし、<b>&amp; {a red|a blue} bowl",
        "--seed",
        1,
        "--preset",
        "fast",
        "--name",
        "preset",
        "--size",
        "64x64",
        *common,
    )
    workspace.run(
        "generate", "washi style, 星", "--seed", 2, "--lora", "washi:8", "--format", "webp", "--name", "lora", *small
    )
    workspace.run(
        "generate",
        "a boat",
        "--seed",
        3,
        "--negative",
        "red",
        "--sampler",
        "euler",
        "--format",
        "jpeg",
        "--name",
        "jpeg",
        *small,
    )
    workspace.run("generate", "りんご", "--seed", 4, "--deterministic", "--no-sign", "--name", "unsigned", *small)
    workspace.run(
        "generate", "ねこ", "--seed", 5, "--model", "tiny-onnx", "--steps", 4, "--no-sign", "--name", "onnx", *common
    )
    usual = load_settings()
    save_settings(replace(usual, provenance=replace(usual.provenance, prompt="hash")))
    workspace.run("generate", "a secret", "--seed", 6, "--no-sign", "--name", "hidden", *small)
    save_settings(usual)
    (workspace.base / "images" / "broken.png").write_bytes(
        (workspace.base / "images" / "preset.png").read_bytes()[:1500]
    )


def queue(workspace: Workspace) -> None:
    """``queue.db`` with rows of every state in eight jobs, and the same exported."""
    from engine.contract.queue import Ledger

    prompts = workspace.base / "festival.csv"
    prompts.write_bytes(
        "# coding: cp932\nprompt,seed,steps,client\n{赤い|青い} 鳥,7,2,ACME\n[[猫|犬]]、__place__,8,2,山田\n".encode(
            "cp932"
        )
    )
    common = ["--size", "32x32", "--steps", 2]
    workspace.run("queue", "add", "--from", prompts, "--job", "祭り", "--name", "{job}/{client}-{seed}", *common)
    workspace.run("queue", "add", "a ship", "--lora", "gone", "--job", "broken", *common)
    workspace.run("queue", "run", "--until-empty", "--quiet", "--no-sign", status=1)
    workspace.run("queue", "add", "a cat", "--count", 2, "--job", "given up", *common)
    workspace.run("queue", "cancel", 3)
    workspace.run(
        "queue",
        "add",
        "[[赤い|blue]] 鳥",
        "--count",
        2,
        "--seed",
        100,
        "--preset",
        "fast",
        "--lora",
        "washi:0.8",
        "--negative",
        "雨",
        "--format",
        "webp",
        "--name",
        "{job}/{prompt:20}-{seed}",
        "--job",
        "待つ",
        "--priority",
        2,
        "--steps",
        20,
        "--size",
        "32x32",
    )
    workspace.run(
        "queue",
        "add",
        "a dog",
        "--seed",
        200,
        "--sampler",
        "euler-a",
        "--guidance",
        6.5,
        "--dtype",
        "fp32",
        "--deterministic",
        "--job",
        "plain",
        *common,
    )
    workspace.run("queue", "add", "--from", prompts, "--job", "later", *common)
    workspace.run("queue", "pause", 6)
    workspace.run(
        "queue", "add", "a lost one", "--seed", 300, "--count", 2, "--job", "crashed", "--priority", 3, *common
    )
    ledger = Ledger(workspace.data / "queue.db")
    rows = ledger.claim("a-worker-that-died", lambda found: [r for r in found if r.job == 7][:1])
    ledger.begin(rows)
    ledger.close()
    workspace.run("queue", "add", "after the export", "--job", "last", "--seed", 400, *common)
    workspace.run("queue", "move", 8, "--before", 5)
    workspace.run("queue", "export", workspace.base / "queue.jsonl")


def evaluation(workspace: Workspace) -> None:
    """The result of an evaluation, without its images."""
    workspace.run("evaluate", "commonart-mini", "--limit", 3, "--steps", 8, "--out", workspace.base / "evaluation")


def window(workspace: Workspace) -> None:
    """``window.ini``, the user's presets, and stars and ratings in ``gallery.db``: all by the window's own widgets."""
    from commonart_desktop.gui.gallery_index import Index, Query
    from PySide6.QtCore import QEventLoop
    from PySide6.QtWidgets import QApplication

    from commonart_desktop.gui.app import Application

    app = QApplication([])
    whole = Application(app)
    whole.engine.start = lambda **_: None  # nothing is drawn here
    window = whole.window
    window.resize(1234, 777)
    window.show()

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not condition():
            app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
            if time.monotonic() > end:
                raise SystemExit("timed out")

    compose = window.page("make").compose
    until(lambda: compose.background.pending == 0)
    compose.fill(
        {
            "model": "commonart-mini",
            "preset": "balanced",
            "sampler": "unipc",
            "steps": 24,
            "guidance": 5.5,
            "count": 3,
            "format": "webp",
            "negative": "雨",
            "loras": [["washi", 0.6]],
            "deterministic": True,
        }
    )
    until(lambda: compose.background.pending == 0)
    for name in ("夜祭り", "unipc 24"):
        compose.presets.save_button.click()
        compose.presets.name.setText(name)
        compose.presets.keep_button.click()
        compose.fill({"loras": [], "preset": "exact"})
    compose.fill({"prompt": "{赤い|blue} 提灯、夜", "seed_mode": "fixed", "seed": "42", "job": "提灯"})
    window.page("make").splitter.setSizes([500, 700])
    for name in ("train", "evaluate", "verify", "models", "pictures"):
        window.go_to(name)
        window.page(name)
        app.processEvents()
    window.page("evaluate").form.seed.setValue(1234)
    until(lambda: window.page("pictures").library.idle and window.page("pictures").model.rowCount() == 3)
    index = Index(workspace.data / "gallery.db")
    first, second, _ = index.ids(Query(sort="name"))
    index.star([first], True)
    index.rate([second], 4)
    index.close()
    window.go_to("make")
    until(lambda: window.current() == "make")
    window.close()
    whole.close(leave_working=False)


#: what version 0.1.0 answers to these commands is kept, to be compared with what a later one answers
ANSWERS = {
    "queue-list": ("queue", "list", "--json"),
    "queue-job": ("queue", "show", "4", "--json"),
    "show-preset": ("show", "images/preset.png", "--json"),
    "show-lora": ("show", "images/lora.webp", "--json"),
    "show-jpeg": ("show", "images/jpeg.jpg", "--json"),
    "show-onnx": ("show", "images/onnx.png", "--json"),
    "show-hidden": ("show", "images/hidden.png", "--json"),
    "verify": ("verify", "images/preset.png", "images/lora.webp", "images/jpeg.jpg", "images/onnx.png", "--json"),
    "dataset-report": ("dataset", "report", "washi", "--json"),
    "dataset-show": ("dataset", "show", "washi", "--json"),
}


def answers(workspace: Workspace) -> None:
    """``answers.json``: the command line and the answer of version 0.1.0 to each of ``ANSWERS``."""
    found = {}
    for name, arguments in ANSWERS.items():
        done = subprocess.run(
            [sys.executable, "-m", "commonart_desktop", *arguments],
            cwd=workspace.base,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=workspace.environment,
            check=False,
        )
        text = done.stdout.strip()
        try:
            answer = json.loads(text)
        except ValueError:  # an object a line
            answer = [json.loads(line) for line in text.splitlines()]
        found[name] = {"arguments": arguments, "status": done.returncode, "answer": answer}
    (workspace.base / "answers.json").write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")


def pixels(workspace: Workspace) -> None:
    """``pixels.zip``: the hashes of all images of ``pixels.jsonl`` with each backend, and the images themselves without
    loss.
    """
    from PIL import Image

    from tests.data.tiny_onnx import unpack

    # this folder's own, not of the checkout: ``tests`` there has none of this name
    sys.path.append(str(HERE.parent))
    from v0_1_0 import machine

    unpack(workspace.data / "models")
    workspace.run("export", "commonart-mini", workspace.data / "models" / "mini-onnx", "--dtype", "fp32")
    rows = [line for line in (HERE / "pixels.jsonl").read_text(encoding="utf-8").splitlines() if line]
    plain = [line for line in rows if '"loras"' not in line]
    groups = {
        "pytorch": ("commonart-mini", rows),
        "onnx": ("mini-onnx", plain),
        "tiny-onnx": ("tiny-onnx", [p for p in plain if '"32x32"' in p][::2]),
    }
    hashes: dict[str, object] = {"version": "0.1.0", "machine": machine()}
    with zipfile.ZipFile(HERE / "pixels.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for group, (model, lines) in groups.items():
            file, out = workspace.base / f"{group}.jsonl", workspace.base / f"pixels-{group}"
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            made = workspace.run(
                "generate",
                "--from",
                file,
                "--model",
                model,
                "--deterministic",
                "--no-sign",
                "--device",
                "cpu",
                "--dtype",
                "fp32",
                "--quiet",
                "--name",
                "{case}",
                "--out",
                out,
                "--json",
            )
            found = {Path(m["path"]).stem: m["pixel_sha256"] for m in map(json.loads, made.splitlines())}
            hashes[group] = dict(sorted(found.items()))
            if group == "onnx":
                continue  # those of PyTorch are the same but for rounding
            for path in sorted(out.glob("*.png")):
                data = io.BytesIO()
                with Image.open(path) as image:
                    image.convert("RGB").save(data, "WEBP", lossless=True, quality=100, method=6)
                archive.writestr(zipfile.ZipInfo(f"{group}/{path.stem}.webp"), data.getvalue())
        archive.writestr(zipfile.ZipInfo("pixels.json"), json.dumps(hashes, indent=1))


def pack(workspace: Workspace) -> None:
    """``home.zip``, without what a later version makes anew or has elsewhere: all encoded captions but one, the tiny
    model, the export, chatter.
    """
    left_out = (
        "data/models/mini-onnx",
        "data/models/tiny",
        "data/cache/hashes",
        "data/cache/text",
        "data/cache/thumbnails",
        "data/cache/theme",
        "data/cache/preview",
        "data/logs",
        "data/tmp",
        "runs/washi/checkpoints",
        "runs/washi/report.html",
        "pixels-",
        "pytorch.jsonl",
        "onnx.jsonl",
        "tiny-onnx.jsonl",
        "elsewhere",
        "evaluation/pictures",
        "evaluation/report.html",
        "runs/washi/washi.safetensors",
    )
    with zipfile.ZipFile(HERE / "home.zip", "w", zipfile.ZIP_LZMA) as archive:
        for file in sorted(p for p in workspace.base.rglob("*") if p.is_file()):
            name = file.relative_to(workspace.base).as_posix()
            kept = not name.startswith(left_out) or (file.stem == EMPTY and "/float32/" in name)
            if kept and file.name != ".lock" and not name.endswith((".log", "-wal", "-shm")):
                archive.writestr(zipfile.ZipInfo(name), file.read_bytes(), compress_type=zipfile.ZIP_LZMA)


#: as the captions' store names the empty caption, the smallest of those that version 0.1.0 kept
EMPTY = hashlib.sha256(b"").hexdigest()
STAGES: dict[str, Callable[[Workspace], None]] = {
    f.__name__: f for f in (dataset, training, pixels, settings, images, queue, evaluation, window, answers, pack)
}


def main(base: Path, *names: str) -> None:
    workspace = Workspace(base)
    for name in names or STAGES:
        STAGES[name](workspace)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
