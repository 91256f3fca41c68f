"""Targets: templates, file names, prompt files, settings, training configurations, policies, events between processes."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from commonart_desktop.core.settings import load_settings
from engine.contract import events, naming, promptfile, template, training_events
from engine.contract.errors import BadValue, NoRecipe, ProtocolError
from engine.contract.exif_comment import decode_comment
from engine.contract.image_parameters import read_parameters
from engine.contract.other_tools import PLACES
from engine.contract.request import ImageRequest
from tests.fuzz.core import Broken, Files, Target
from tests.fuzz.mutate import damaged, dumps, lines, texts, twisted, values
from tests.support.paths import ROOT
from trainer.config_file import presets, read_config
from trainer.dataset.licence.policy import load_policy

_PIECES = (
    "{",
    "}",
    "|",
    "[[",
    "]]",
    "__animals__",
    "__deep/er__",
    "__../secret__",
    "__",
    "_",
    "\\",
    "\\{",
    "3::",
    "0::",
    "-1::",
    "1e9::",
    "9" * 320 + "::",
    ".5::",
    "cat",
    "猫",
    " ",
    "\n",
    "{a|b}",
    "[[a|b]]",
    "{" * 40,
    "[[a|b]]" * 8,
)
templates = st.one_of(
    st.lists(st.sampled_from(_PIECES), max_size=14).map("".join),
    st.lists(st.one_of(st.sampled_from(_PIECES), texts), max_size=8).map("".join),
)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


_CODED = (
    b"# coding: cp932\n" + "2::すし\n寿司\n".encode("cp932"),
    "すし\n".encode("utf-16"),
    "すし\n".encode("utf-8-sig"),
    "すし\n".encode("cp932"),
)


def _wildcards() -> SearchStrategy[Files]:
    words = st.lists(templates, max_size=4).map("\n".join).map(_utf8)
    return st.builds(
        lambda t, a, b: {"template.txt": t, "w/animals.txt": a, "w/deep/er.txt": b, "secret.txt": b"not for templates"},
        templates.map(_utf8),
        st.one_of(words, words, damaged([b"cat\n3::{a|b} dog\n#no\n\\#f00\n", *_CODED])),
        words,
    )


def _template(folder: Path) -> Any:
    text = (folder / "template.txt").read_bytes().decode("utf-8", "surrogatepass")
    made = [asdict(e) for e in itertools.islice(template.expand(text, count=2, seed=5, wildcards=[folder / "w"]), 40)]
    if any("not for templates" in one["text"] for one in made):
        raise Broken("a template read outside of its folder")
    again = [asdict(e) for e in itertools.islice(template.expand(text, count=2, seed=5, wildcards=[folder / "w"]), 40)]
    if made != again:
        raise Broken("a template gave other prompts under the same seed")
    for one in made:
        try:
            ImageRequest(prompt=one["text"], seed=0)  # what the prompt may hold is the request's matter, told by name
        except BadValue:
            pass
    return made


_FIELDS = (
    "{prompt}",
    "{prompt:40}",
    "{seed}",
    "{date}/",
    "{x}",
    "{prompt!r}",
    "{0}",
    "{}",
    "{prompt.__class__}",
    "{prompt[0]}",
    "/",
    "..",
    "../",
    "~",
    "a:",
    "\\",
    "con",
    "{{",
    "}}",
    "{prompt:999999}",
    "{prompt:1000}",
    "é",
    ".",
)


def _names() -> SearchStrategy[Files]:
    return st.fixed_dictionaries(
        {
            "name.txt": st.lists(st.one_of(st.sampled_from(_FIELDS), texts), max_size=6).map("".join).map(_utf8),
            "prompt.txt": texts.map(_utf8),
        }
    )


def _name(folder: Path) -> Any:
    pattern, prompt = ((folder / n).read_bytes().decode("utf-8", "surrogatepass") for n in ("name.txt", "prompt.txt"))
    request = ImageRequest(prompt=prompt, seed=3, extra={"x": prompt[::-1]}, model=prompt[:20], name=pattern)
    made = naming.render(pattern or naming.DEFAULT, request, job=prompt, image=4, when=0.0)
    out = folder.resolve() / "out"
    if made.is_absolute() or out not in (out / made).resolve().parents:
        raise Broken(f"a name leads out: {made}")
    if any(len(p.encode()) > 200 or set(p) & set('<>:"\\|?*\0') or p != p.strip() for p in made.parts):
        raise Broken(f"a name that not every system takes: {made}")
    return str(made)


_ROW = {
    "prompt": "{a|b} cat",
    "negative": "x",
    "seed": 5,
    "steps": 20,
    "width": 512,
    "guidance": 4.5,
    "sampler": "euler",
    "format": "png",
    "deterministic": True,
    "loras": "ink:0.5",
    "job": "a",
    "out": "/etc",
    "model": "commonart-mini",
    "name": "{seed}",
    "preset": "exact",
}
_TABLE = 'prompt,negative,seed,size,x_job\r\nすし,暗い,5,512x512,a\r\n"a ""b""\nc",,,,\r\n'
_PROMPTS = (
    _TABLE.encode(),
    _TABLE.replace(",", "\t").encode("cp932"),
    _TABLE.encode("utf-16"),
    b"# coding: cp932\n" + "すし\n寿司".encode("cp932"),
    "猫\n# no\n\\#f00\n--steps 3\n犬".encode("utf-8-sig"),
    b"sep=;\r\nprompt;cfg_scale;negatve\r\n" + 'すし; 5; "a;b"\r\n'.encode(),
    b'positive_prompt, noise_seed\n "a, b", -1\ncat;5\n',
)


def _prompts() -> SearchStrategy[Files]:
    cell = st.one_of(st.sampled_from(('"', '""', ",", "\n", "\r", "5", "512x512", "nan", "1e400", "すし")), texts)
    row = {k: v for k, v in _ROW.items() if k != "out"}
    table = st.lists(st.lists(cell, max_size=5).map(",".join), max_size=4).map(
        lambda rows: _utf8("\n".join(["prompt,seed,size,loras,out", *rows]))
    )
    others = st.lists(st.lists(cell, max_size=4).map(";".join), max_size=4).map(
        lambda rows: _utf8("\n".join(["sep=;", "prompt;cfg;sampler_name;lora", *rows]))
    )
    return st.one_of(
        st.builds(lambda n, d: {f"a.{n}": d}, st.sampled_from(("txt", "csv", "tsv", "jsonl")), damaged(_PROMPTS)),
        st.one_of(lines(row), lines(_ROW)).map(lambda d: {"a.jsonl": d}),
        st.one_of(table, others).map(lambda d: {"a.csv": d}),
    )


def _promptfile(folder: Path) -> Any:
    path = next(folder.iterdir())
    rows = [asdict(row) for row in promptfile.read(path)]
    for row in rows:
        if row["settings"].keys() & set(PLACES) or any(
            c in str(row["settings"].get(k, "")) for k in ("model", "name") for c in "/\\"
        ):
            raise Broken("a prompt file chose a place")
        settings = {k: v for k, v in row["settings"].items() if k != "count" and v is not None}
        ImageRequest(**{"seed": 0} | settings, prompt=row["prompt"])
    return rows


_FOREIGN = {
    "invokeai_metadata": {"positive_prompt": "cat", "loras": [{"model": {"name": "a"}, "weight": 1}], "steps": 3},
    "prompt": {
        "1": {"class_type": "KSampler", "inputs": {"positive": ["2", 0], "negative": ["2", 0], "steps": 3, "cfg": 4}},
        "2": {"inputs": {"text": "cat"}},
    },
    "parameters": {"sui_image_params": {"prompt": "cat", "loras": ["a"], "loraweights": ["1"]}},
}
_A1111 = "cat <lora:a:1>\nNegative prompt: fog\nSteps: 3, Sampler: Euler, CFG scale: 4, Seed: 5, Size: 8x8, Model: m"


def _parameters() -> SearchStrategy[Files]:
    return st.one_of(
        st.sampled_from(sorted(_FOREIGN)).flatmap(lambda k: twisted(_FOREIGN[k]).map(lambda d: {k: dumps(d)})),
        damaged([_A1111.encode()]).map(lambda d: {"parameters": d}),
        damaged([b'"cat [fog]" -s 3 -S 5 -W8 -C 4']).map(lambda d: {"Dream": d}),
        damaged([b"UNICODE\0" + _A1111.encode("utf-16-le"), b"JIS\0\0\0\0\0" + "すし".encode("iso2022_jp")]).map(
            lambda d: {"comment": d}
        ),
    )


def _read_parameters(folder: Path) -> Any:
    texts = {path.name: path.read_bytes() for path in folder.iterdir()}
    if "comment" in texts:
        return decode_comment(texts["comment"])
    found = read_parameters({key: text.decode("utf-8", "replace") for key, text in texts.items()})
    if found is None:
        raise NoRecipe(path=folder)
    return json.loads(json.dumps(asdict(found)))


_SETTINGS = (
    b'language = "ja"\nmodel = "commonart-mini"\nout = "outputs"\nname = "{seed}"\ntheme = "dark"\n[provenance]\nsign = true\nprompt = "hash"\n'
    b'training_mining = "notAllowed"\nstudio = "\xe7\xb5\xb5"\ncertificate = "a.pem"\nkey = "a.key"\n'
)
_TOML = (
    b"= 1",
    b"a.b.c = 1\n",
    b"[a]\n[a]\n",
    b"x = " + b"[" * 3000,
    b"'' = 1\n",
    b"sign = 1e999\n",
    b"language = 1979-05-27\n",
    b"[provenance]\nsign = 'yes'\n",
    b'"\\u0000" = 1\n',
    b"\xff\xfe",
    b"provenance = [1]\n",
    b'model = """\n\x1b[31m"""',
    b"base = [1]\n",
    b"name = {a = 1}\n",
    b"preset = ['a']\n",
    b"dataset = 1\n",
)


def _tomls(name: str, originals: tuple[bytes, ...]) -> SearchStrategy[Files]:
    spoilt = st.lists(st.sampled_from((*originals, *_TOML)), max_size=3).map(b"\n".join)
    return st.one_of(damaged(originals), spoilt).map(lambda d: {name: d})


def _settings(folder: Path) -> Any:
    before = os.environ["COMMONART_HOME"]
    os.environ["COMMONART_HOME"] = str(folder)
    try:
        return asdict(load_settings())
    finally:
        os.environ["COMMONART_HOME"] = before


def _configs() -> SearchStrategy[Files]:
    folder = ROOT / "resources" / "presets" / "training"
    own = b'preset = "train-8gb"\nkind = "lora"\noutput = "out"\n[base]\nmodel = "m"\n[[dataset]]\nfolder = "d"\n[schedule]\nsteps = 8\n[optimiser]\nlr = 1e-4\nbetas = [0.9, 0.99]\n'
    if len(presets()) < 2:
        raise AssertionError("the presets of trainings are not where they were")
    return _tomls("a.toml", (own, *(p.read_bytes() for p in sorted(folder.glob("*.toml")))))


def _config(folder: Path) -> Any:
    return asdict(read_config(folder / "a.toml"))


_POLICY = b'name = "studio"\nbase = "commercial"\n[classes]\nsa = "block"\n[rules]\none-creator = "allow"\n[limits]\ncreator_share = 0.4\n[licences]\n"CC-BY-4.0" = "allow"\n'


def _policy(folder: Path) -> Any:
    return load_policy(folder / "a.toml").as_data()


_EVENT = {"event": "progress", "images": [1], "step": 2, "steps": 3, "preview": None}


def _events() -> SearchStrategy[Files]:
    line = st.one_of(
        twisted(_EVENT).map(dumps),
        twisted({"event": "step", "step": 1, "loss": 0.5}).map(dumps),
        twisted({"command": "pause"}).map(dumps),
        values.map(dumps),
        damaged([dumps(_EVENT)]),
        st.just(b"[" * 100_000),
    )
    return line.map(lambda d: {"line.json": d})


def _event(folder: Path) -> Any:
    line = (folder / "line.json").read_bytes().decode("utf-8", "replace")
    readers = (events.decode, events.decode_command, training_events.decode, training_events.decode_command)
    found = []
    trouble = None
    for reader in readers:
        try:
            found.append(str(reader(line)))
        except ProtocolError as error:
            trouble = error
    if not found and trouble:
        raise trouble
    return json.loads(json.dumps(found))


TARGETS = (
    Target("templates", "prompt templates and wildcard files", _wildcards, _template),
    Target("names", "templates of file names", _names, _name),
    Target("prompts", "prompt files", _prompts, _promptfile),
    Target("parameters", "what other programs say in an image", _parameters, _read_parameters),
    Target("settings", "settings.toml", lambda: _tomls("settings.toml", (_SETTINGS,)), _settings),
    Target("configs", "configurations of a training", _configs, _config),
    Target("policies", "licence policies", lambda: _tomls("a.toml", (_POLICY,)), _policy),
    Target("events", "lines between processes", _events, _event),
)
