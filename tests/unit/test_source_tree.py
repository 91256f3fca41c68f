"""No way to run what others wrote: the program's whole source is searched for calls that could, and for calls that
could reach the network.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests.support.paths import ROOT

FOLDERS = ("commonart_desktop", "engine", "trainer")

#: modules that unpickle, run code or load it from files
MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
    "ruamel",
    "runpy",
    "code",
    "codeop",
    "imp",
    "pty",
}
#: calls of those kinds by their last name; where a name is common, with what it belongs to
CALLS = {
    "torch.load",
    "torch.jit.load",
    "torch.hub.load",
    "torch.package.PackageImporter",
    "pandas.read_pickle",
    "pd.read_pickle",
    "os.system",
    "os.popen",
    "np.fromregex",
    "yaml.load",
    "importlib.util.spec_from_file_location",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
}
BUILT_IN = {"eval", "exec", "compile", "__import__", "breakpoint"}
#: arguments that open such a way in a library
ARGUMENTS = {
    "trust_remote_code": False,
    "use_safetensors": True,
    "allow_pickle": False,
    "weights_only": True,
    "shell": False,
    "local_files_only": True,
}

#: what may stand where, and why
ALLOWED = {
    (
        "engine/checkpoint/unpickle.py",
        "pickle",
    ): "the reader of pickled weights: pickle.Unpickler with find_class answering a short list of stand-ins, none of "
    "them a class or function of the pickle's choosing",
    (
        "commonart_desktop/core/after.py",
        "shell",
    ): "--then COMMAND on Windows: the line that the user typed for this purpose; nothing of a file gets into it",
}
#: who may speak to the network, or take its modules in: the one command that fetches models
NETWORK = {
    "socket",
    "ssl",
    "http",
    "urllib",
    "urllib3",
    "requests",
    "httpx",
    "aiohttp",
    "ftplib",
    "smtplib",
    "telnetlib",
    "xmlrpc",
    "websockets",
    "socketserver",
    "asyncio",
    "huggingface_hub",
    "ray",
    "webbrowser",
}
MAY_NETWORK = {
    ("engine/checkpoint/get.py", "huggingface_hub"): "`commonart models get`, when it is asked for",
    (
        "engine/cluster/ray_connection.py",
        "ray",
    ): "`--ray` and a cluster's address in the settings: other machines make the pictures",
    (
        "commonart_desktop/gui/shell/quit_signals.py",
        "socket",
    ): "a pair of sockets of this process alone, by which a signal wakes Qt",
    ("engine/cluster/engine_pool.py", "ray"): "which machine an engine is to start on",
    (
        "engine/cluster/ray_connection.py",
        "socket",
    ): "whether that cluster, and each of its machines, still takes connections",
}


@cache
def files() -> list[tuple[str, ast.Module]]:
    return [
        (file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8")))
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
    ]


def imports(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, first part, and full name of all that is imported, also by ``import_module`` of a literal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name.split(".")[0], a.name) for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, node.module.split(".")[0], f"{node.module}.{a.name}") for a in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value).split(".")[0], str(node.args[0].value)


def faults(name: str, tree: ast.Module) -> Iterator[str]:
    """Every place that could run what a file says."""
    for line, first, full in imports(tree):
        if first in MODULES and (name, first) not in ALLOWED:
            yield f"{name}:{line}: imports {full}"
    for node in ast.walk(tree):
        for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
            if (
                isinstance(key, ast.Constant)
                and key.value in ARGUMENTS
                and not (isinstance(value, ast.Constant) and value.value is ARGUMENTS[key.value])
            ):
                yield f"{name}:{node.lineno}: {key.value} is {ast.unparse(value)} and must be {ARGUMENTS[key.value]}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if isinstance(node.func, ast.Name) and called in BUILT_IN:
            yield f"{name}:{node.lineno}: calls {called}"
        if called in CALLS or called.endswith((".read_pickle", ".load_module", ".exec_module")):
            yield f"{name}:{node.lineno}: calls {called}"
        for word in node.keywords:
            wanted = ARGUMENTS.get(word.arg or "")
            if (
                word.arg in ARGUMENTS
                and (name, word.arg) not in ALLOWED
                and not (isinstance(word.value, ast.Constant) and word.value.value is wanted)
            ):
                yield f"{name}:{node.lineno}: {word.arg} is {ast.unparse(word.value)} and must be {wanted}"
        # what comes by ** is a dictionary of this file, and looked at below
        if called.endswith("from_pretrained") and not {"local_files_only", None} & {w.arg for w in node.keywords}:
            yield f"{name}:{node.lineno}: {called} without local_files_only=True may ask the network"


def test_nothing_unpickles_evaluates_or_loads_code() -> None:
    found = [fault for name, tree in files() for fault in faults(name, tree)]
    assert not found, "\n".join(found)


def test_what_is_allowed_is_still_needed() -> None:
    """An exception that nobody uses any more would be a door left open."""
    there = {(name, first) for name, tree in files() for _, first, _ in imports(tree)}
    assert set(MAY_NETWORK) <= there, set(MAY_NETWORK) - there
    assert ("engine/checkpoint/unpickle.py", "pickle") in there
    assert (
        "shell=True" in (ROOT / "commonart_desktop" / "core" / "after.py").read_text(encoding="utf-8")
        and len(ALLOWED) == 2
    )


def test_only_fetching_models_takes_in_a_module_of_the_network() -> None:
    found = [
        f"{name}:{line}: {full}"
        for name, tree in files()
        for line, first, full in imports(tree)
        if first in NETWORK and (name, first) not in MAY_NETWORK and not _harmless(full)
    ]
    assert not found, "\n".join(found)


def _harmless(full: str) -> bool:
    """Parsing an address is no use of the network."""
    return full.startswith("urllib.parse")


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import torch; torch.load('x')",
        "eval('1')",
        "exec('1')",
        "import importlib; importlib.import_module('dill')",
        "import yaml",
        "AutoModel.from_pretrained(x)",
        "AutoModel.from_pretrained(x, local_files_only=True, trust_remote_code=True)",
        "np.load(x, allow_pickle=True)",
        "f(local_files_only=True, use_safetensors=False)",
        "f(use_safetensors=flag)",
        "subprocess.run('x', shell=True)",
        "os.system('x')",
        "x = {'trust_remote_code': True}",
        "pd.read_pickle(x)",
    ],
)
def test_the_search_finds_it(line: str) -> None:
    assert list(faults("x.py", ast.parse(line)))


def test_the_search_leaves_the_usual_alone() -> None:
    usual = (
        "model.eval(); np.load(x); json.load(f); re.compile('x'); box.exec(); AutoModel.from_pretrained(x, "
        "local_files_only=True, trust_remote_code=False)"
    )
    assert not list(faults("x.py", ast.parse(usual)))
