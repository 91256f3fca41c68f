"""The measure's own arithmetic: spread, what is called unreliable, and that the benchmarks' programs run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.bench.compare import Timing, compare
from engine.bench.ours import Round
from engine.bench.spread import spread


def test_spread() -> None:
    assert spread([2.0, 1.9, 2.1]) == {
        "median": 2.0,
        "least": 1.9,
        "most": 2.1,
        "relative": pytest.approx(0.1),
        "reliable": True,
    }
    assert spread([1.0, 2.0, 1.5])["reliable"] is False
    assert spread([1.0]) == {"median": 1.0, "least": 1.0, "most": 1.0, "relative": None, "reliable": None}


class Timed:
    """A side whose rounds take what they are told to."""

    def __init__(self, name: str, seconds: list[float], picture: Path) -> None:
        self.name, self._seconds, self._picture = name, iter([1.0, *seconds]), picture

    def round(self, texts: Any, seeds: Any, out: Path) -> Round:
        return Round(next(self._seconds), [self._picture] * len(texts), {"denoise": 1.0})

    def close(self) -> int:
        return 1


def test_a_machine_that_slows_down_for_both_moves_the_rates_but_not_the_ratio(tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "one.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    ours, theirs = Timed("commonart", [1.0, 4.0, 2.0], picture), Timed("diffusers", [2.0, 8.4, 4.0], picture)
    found = compare(ours, [theirs], count=4, rounds=3, work=tmp_path, on_progress=lambda *_: None)  # type: ignore[arg-type]
    assert found["sides"]["commonart"]["reliable"] is False and found["sides"]["commonart"]["spread"] > 1
    rival = found["against"]["diffusers"]
    assert rival["ratio"] == pytest.approx(2.0) and rival["reliable"] is True and rival["psnr_db"]["least"] == 99.0
    assert Timing("x", [1.0]).summary(5)["reliable"] is None


def test_the_command_says_that_a_figure_is_unreliable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from commonart_desktop import cli
    from commonart_desktop.cli import bench

    side = {"pictures_per_second": 1.0, "slowest": 0.5, "fastest": 2.0, "peak_memory_bytes": 1}
    answer = {
        "ok": True,
        "sides": {"commonart": side},
        "against": {},
        "share_of_matmul_peak": None,
        "load_before": 0.0,
        "cores": 2,
        "notes": [],
        "reliable": False,
        "spread": 1.5,
    }
    asked: list[Any] = []
    monkeypatch.setattr(
        bench, "program", lambda module, arguments, **_: asked.append((module, arguments)) or dict(answer)
    )
    monkeypatch.setenv("COMMONART_LANG", "en")
    assert cli.run(["bench", "--against", "none", "--rounds", "3"]) == 0
    assert "150%" in capsys.readouterr().out and asked[0][0] == "engine.bench"
    answer |= {"reliable": None}
    cli.run(["bench", "--against", "none"])
    assert "--rounds 3" in capsys.readouterr().out
    answer = {
        "ok": True,
        "choice": "eager",
        "model": "m",
        "seconds_per_step": {"eager": 0.01, "compiled": 0.02},
        "notes": [],
    }
    assert cli.run(["bench", "--probe", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["choice"] == "eager" and asked[-1][0] == "engine.bench.autotune"


def test_results_tell_where_they_come_from(tmp_path: Path) -> None:
    from benchmarks.record import save

    found = json.loads(save("x", {"ratio": 2}, tmp_path / "x.json").read_text(encoding="utf-8"))
    assert (
        found["ratio"] == 2 and {"cpu", "cores", "load", "libraries", "command", "when"} <= found["surroundings"].keys()
    )
    assert found["surroundings"]["libraries"]["torch"]
