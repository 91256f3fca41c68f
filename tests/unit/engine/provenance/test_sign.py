"""Signing: keys, the manifest, labels, and images that are saved whatever happens to the key.

C2pa's own reader is the judge.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from PIL import Image

from engine.contract.errors import BadCertificate, BadValue, CommonArtError, PromptHidden, SigningFailed
from engine.contract.provenance_policy import ProvenancePolicy
from engine.contract.recipe import build, request_of
from engine.contract.request import ImageRequest
from engine.imagefile.container import walk
from engine.imagefile.image import pixel_sha256, read_parameters, read_pixels, read_recipe, to_bytes
from engine.imagefile.xmp import SOURCE_TYPE, AiLabel, fitting, packet, read_packet
from engine.provenance import keys, keystore
from engine.provenance.finalize import ImageFinalizer
from engine.provenance.prompt_redaction import redact_prompt, restore_prompt, text_sha256
from engine.provenance.sign import RECIPE, Signer, settings
from engine.provenance.verify import Verifier

PIXELS = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
KINDS = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
LORA = {"name": "ink", "sha256": "d" * 64, "scale": 0.8, "dataset_sha256": "e" * 64, "gate_report_sha256": "f" * 64}


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyring of whoever runs the tests is not ours to fill."""
    monkeypatch.setattr(keystore, "keyring_backend", lambda: None)


def recipe_of(prompt: str = "すし、<海> & 空", **changes: Any) -> dict[str, Any]:
    request = ImageRequest(
        **{"prompt": prompt, "model": "commonart-mini", "width": 64, "height": 48, "seed": 2**62 + 1} | changes
    )
    return build(
        request,
        model="commonart-mini",
        hashes={"denoiser": "a" * 64, "text_encoder": "b" * 64, "vae": "c" * 64},
        backend={"backend": "fake", "device": "cpu", "dtype": "fp32", "libraries": {}},
        batch=(4, 2),
        pixel_sha256=pixel_sha256(PIXELS),
        app="CommonArt Desktop 0.1.0",
        loras=[LORA],
    )


def loud(error: CommonArtError) -> None:
    raise AssertionError(error)


def validation_of(data: bytes, kind: str) -> dict[str, Any]:
    """What c2pa's own reader says, with our root as its only anchor."""
    root = keys.pem(keys.chains()[0][-1]).decode()
    with (
        c2pa.Context.from_dict(settings(trust={"user_anchors": root})) as context,
        c2pa.Reader(KINDS[kind], io.BytesIO(data), context=context) as reader,
    ):
        return dict(json.loads(reader.json()))


def report_of(data: bytes, tmp_path: Path, kind: str = "png") -> Any:
    path = tmp_path / f"picture.{kind}"
    path.write_bytes(data)
    return Verifier().verify(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_picture_is_trusted_by_the_library_itself(kind: str, tmp_path: Path) -> None:
    seal, recipe = (
        ImageFinalizer(ProvenancePolicy(training_mining="notAllowed", creator="花子", rights="© 花子"), loud),
        recipe_of(),
    )
    sealed = seal.pack(PIXELS, kind, recipe)
    found = validation_of(sealed.data, kind)
    assert sealed.signed and found["validation_state"] == "Trusted", found["validation_results"]
    manifest = found["manifests"][found["active_manifest"]]
    made = {a["label"]: a["data"] for a in manifest["assertions"]}
    (action,) = made["c2pa.actions.v2"]["actions"]
    assert (action["action"], action["digitalSourceType"], action["softwareAgent"]["name"]) == (
        "c2pa.created",
        SOURCE_TYPE,
        "CommonArt Desktop",
    )
    assert len(action["parameters"]["ingredients"]) == 4 and {i["relationship"] for i in manifest["ingredients"]} == {
        "inputTo"
    }
    assert [i["instance_id"] for i in manifest["ingredients"]] == [f"sha256:{c * 64}" for c in "adef"]
    assert {v["use"] for v in made["cawg.training-mining"]["entries"].values()} == {"notAllowed"}
    assert json.loads(made[RECIPE]["recipe"]) == recipe and "thumbnail" not in manifest
    assert manifest["signature_info"].get("time") is None
    # what other programs and our own read is as without the signature
    path = tmp_path / f"p.{kind}"
    path.write_bytes(sealed.data)
    assert read_recipe(path) == recipe and read_parameters(path).startswith("すし、<海> & 空\n")
    if kind != "jpeg":
        assert (read_pixels(path) == PIXELS).all()
    report = Verifier().verify(path)
    assert (report.state, report.signer["who"], report.changed, report.intact) == ("valid", "studio", [], True)
    assert (
        report.pixels == ("lossy" if kind == "jpeg" else "match") and report.recipe == recipe and report.recipe_signed
    )
    assert (
        report.xmp["AIPromptInformation"] == recipe["request"]["prompt"]
        and report.xmp["DigitalSourceType"] == SOURCE_TYPE
    )
    assert (
        report.xmp["creator"] == "花子"
        and report.xmp["rights"] == "© 花子"
        and "commonart-mini" in report.xmp["AISystemUsed"]
    )
    seal.close()


def test_one_packet_in_every_format() -> None:
    for kind in KINDS:
        data = ImageFinalizer(ProvenancePolicy(sign=False), loud).pack(PIXELS, kind, recipe_of()).data
        assert data.count(b"<x:xmpmeta") == 1 and not walk(io.BytesIO(data), Path("p")).signed
        assert Image.open(io.BytesIO(data)).format == kind.upper()


def test_several_threads_share_one_signer(tmp_path: Path) -> None:
    seal = ImageFinalizer(ProvenancePolicy(), loud)
    with ThreadPoolExecutor(4) as pool:
        made = list(
            pool.map(lambda n: seal.pack(PIXELS, ["png", "webp", "jpeg"][n % 3], recipe_of(f"絵 {n}")), range(24))
        )
    assert all(m.signed for m in made) and len(keys.chains()) == 1
    assert {report_of(m.data, tmp_path).state for m in made} == {"valid"}


def test_the_key_is_its_owners_alone() -> None:
    Signer(ProvenancePolicy()).close()
    (folder,) = keys.keys_folder().iterdir()
    assert {p.name for p in folder.iterdir()} == {keys.CHAIN, keys.KEY}
    leaf, root = keys.chains()[0]
    assert (
        leaf.not_valid_after_utc - dt.datetime.now(dt.UTC) > dt.timedelta(days=365 * 29)
        and keys.name_of(leaf) == keys.STUDIO
    )
    assert leaf.issuer == root.subject and not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    if os.name != "nt":
        keystore.write_private(
            folder / "new", b""
        )  # already when it is made: ``fetch`` only sets right what was copied
        assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o600
        assert (
            stat.S_IMODE((folder / keys.KEY).stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
        )


def test_a_keyring_that_guards_is_used_and_one_that_does_not_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ring:
        def __init__(self) -> None:
            self.kept: dict[tuple[str, str], str] = {}

        def set_password(self, service: str, name: str, value: str) -> None:
            self.kept[service, name] = value

        def get_password(self, service: str, name: str) -> str | None:
            return self.kept.get((service, name))

    ring = Ring()
    monkeypatch.setattr(keystore, "keyring_backend", lambda: ring)
    Signer(ProvenancePolicy()).close()
    Signer(ProvenancePolicy()).close()
    (folder,) = keys.keys_folder().iterdir()
    assert len(ring.kept) == 1 and not (folder / keys.KEY).exists()
    ring.kept.clear()
    with pytest.raises(SigningFailed, match="no longer has its key"):
        Signer(ProvenancePolicy())
    monkeypatch.undo()
    for name in ("keyring.backends.null.Keyring", "keyring.backends.fail.Keyring"):
        code = "from engine.provenance.keystore import keyring_backend as k; print(k())"
        said = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHON_KEYRING_BACKEND": name},
        )
        assert said.stdout.strip() == "None", said


def test_a_keyring_that_refuses_leaves_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Locked:
        def set_password(self, *_: str) -> None:
            raise RuntimeError("locked")

    monkeypatch.setattr(keystore, "keyring_backend", lambda: Locked())
    Signer(ProvenancePolicy()).close()
    assert (next(keys.keys_folder().iterdir()) / keys.KEY).is_file()


def test_two_processes_that_begin_at_once_share_one_identity(tmp_path: Path) -> None:
    code = (
        "import sys; from engine.provenance import keys; sys.stdin.readline()\n"
        "i = keys.local(''); sys.stdout.buffer.write(i.chain + b'|' + i.key)"
    )
    env = os.environ | {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        for _ in range(3)
    ]
    for p in both:  # they are past their imports when they read the line, or not: both orders are good
        assert p.stdin is not None
        p.stdin.write(b"\n")
        p.stdin.flush()
    said = {p.communicate()[0] for p in both}
    assert len(said) == 1 and b"PRIVATE" in said.pop() and [p.returncode for p in both] == [0, 0, 0]
    assert len(list(keys.keys_folder().iterdir())) == 1  # no remains of the ones that came second


def test_another_studio_name_is_another_identity_and_both_are_ours(tmp_path: Path) -> None:
    first, second = (
        ImageFinalizer(ProvenancePolicy(studio=name), loud).pack(PIXELS, "png", recipe_of())
        for name in ("絵のアトリエ", "Other")
    )
    for sealed, name in ((first, "絵のアトリエ"), (second, "Other")):
        report = report_of(sealed.data, tmp_path)
        assert report.signer == report.signer | {"who": "studio", "name": name} and report.intact


@pytest.mark.parametrize("kind", KINDS)
def test_a_hidden_prompt_is_nowhere_in_the_file(kind: str, tmp_path: Path) -> None:
    words = {
        "prompt": "ひみつの庭 zauberwort",
        "negative": "kein nebel",
        "template": "{ひみつ|x}の庭 zauberwort",
        "draw": ("ひみつ",),
        "name": "zauberwort-{seed}",
        "extra": {"note": "ひみつ"},
    }
    recipe = recipe_of(**words) | {"unknown_words": ["zauberwort"]}
    seal = ImageFinalizer(ProvenancePolicy(prompt="hash"), loud)
    data = seal.pack(PIXELS, kind, recipe).data
    for word in ("zauberwort", "ひみつ", "nebel", "つの庭"):
        for coding in ("utf-8", "utf-16-be", "utf-16-le", "unicode_escape"):
            assert word.encode(coding) not in data, (word, coding)
    assert text_sha256(words["prompt"]).encode() in data
    report = report_of(data, tmp_path, kind)
    assert (
        report.state == "valid"
        and report.prompt_hidden
        and report.recipe["request"]["prompt"] == f"sha256:{text_sha256(words['prompt'])}"
    )
    assert report.recipe["request"]["seed"] == 2**62 + 1  # settings can be read, the words cannot
    with pytest.raises(PromptHidden):
        request_of(report.recipe)
    assert report.pixels != "differ"
    request = ImageRequest(**{"model": "commonart-mini", "width": 64, "height": 48, "seed": 2**62 + 1} | words)
    assert restore_prompt(redact_prompt(recipe), request) == recipe | {
        "unknown_words": []
    }  # what a worker that died leaves is made whole from the queue


def test_the_users_own_certificate(tmp_path: Path) -> None:
    chain, key = keys._issue("Studio GmbH")
    (tmp_path / "c.pem").write_bytes(chain)
    (tmp_path / "k.pem").write_bytes(key)
    policy = ProvenancePolicy(certificate=str(tmp_path / "c.pem"), key=str(tmp_path / "k.pem"))
    report = report_of(ImageFinalizer(policy, loud).pack(PIXELS, "png", recipe_of()).data, tmp_path)
    assert (report.state, report.signer["who"], report.signer["name"]) == ("valid", "studio", "Studio GmbH")
    assert b"PRIVATE" not in b"".join(p.read_bytes() for p in keys.keys_folder().rglob("*") if p.is_file())
    with pytest.raises(BadCertificate, match="another certificate"):
        (tmp_path / "k.pem").write_bytes(keys._issue("x")[1])
        Signer(policy)
    loaded = serialization.load_pem_private_key(key, None)
    locked = loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pw")
    )
    for data, why in ((locked, "password"), (b"no PEM", "not PEM")):
        (tmp_path / "k.pem").write_bytes(data)
        with pytest.raises(BadCertificate, match=why):
            Signer(policy)
    (tmp_path / "k.pem").unlink()
    with pytest.raises(BadCertificate, match="no such file"):
        Signer(policy)


def test_without_a_key_pictures_are_saved_and_it_is_told_once(tmp_path: Path) -> None:
    Signer(ProvenancePolicy()).close()
    (folder,) = keys.keys_folder().iterdir()
    (folder / keys.KEY).write_text("no key", encoding="ascii")
    told: list[CommonArtError] = []
    seal = ImageFinalizer(ProvenancePolicy(), told.append)
    made = [seal.pack(PIXELS, "png", recipe_of()) for _ in range(3)]
    assert (
        [m.signed for m in made] == [False] * 3
        and len(told) == 1
        and "does not fit" in str(told[0])
        and "--no-sign" in told[0].advice
    )
    report = report_of(made[0].data, tmp_path)
    assert (
        report.state == "unsigned" and report.pixels == "match" and "credentials" not in report.xmp
    )  # it does not claim to have been signed


def test_a_long_prompt_in_a_jpeg(tmp_path: Path) -> None:
    """What fitted without a label still fits: its prompt goes first."""
    seal = ImageFinalizer(ProvenancePolicy(), loud)
    for length, there in ((1000, True), (18_000, False)):
        recipe = recipe_of("あ" * length)
        assert len(to_bytes(PIXELS, "jpeg", recipe)) > length  # it could be saved before
        report = report_of(seal.pack(PIXELS, "jpeg", recipe).data, tmp_path, "jpeg")
        assert report.state == "valid" and report.recipe == recipe and ("AIPromptInformation" in report.xmp) == there
        assert report.xmp["DigitalSourceType"] == SOURCE_TYPE
    with pytest.raises(BadValue, match="too long for a JPEG"):
        seal.pack(PIXELS, "jpeg", recipe_of("あ" * 20_000, negative="い" * 20_000))
    assert (
        report_of(seal.pack(PIXELS, "png", recipe_of("あ" * 20_000, negative="い" * 20_000)).data, tmp_path).state
        == "valid"
    )


def test_packets_come_back_as_written() -> None:
    label = AiLabel(
        system="S <1>", version="2", prompt="a & b </x:xmpmeta> \ufffe 寿司", creator="C", rights="R", credentials=True
    )
    found = read_packet(packet('{"a": "<&>"}', label))
    assert (
        found["recipe"] == '{"a": "<&>"}'
        and found["AISystemUsed"] == "S <1>"
        and found["AIPromptInformation"].startswith("a & b </x:xmpmeta> ")
    )
    assert (found["creator"], found["rights"], found["credentials"]) == ("C", "R", "embedded")
    full = len(packet("{}", label).encode())
    assert (
        "AIPromptInformation" not in read_packet(fitting("{}", label, full - 1))
        and read_packet(fitting("{}", label, full)) != {}
    )
    assert read_packet(fitting("{}", label, 10)) == {"recipe": "{}"}  # the recipe stays
    for bad in ("", "<x:xmpmeta", "<!DOCTYPE a [<!ENTITY b 'c'>]>" + packet("{}", label), "x" * (2 << 20), b"\xff\xfe"):
        assert read_packet(bad) == {}


def test_what_a_recipe_of_a_stranger_cannot_do() -> None:
    signer = Signer(ProvenancePolicy())
    with pytest.raises(SigningFailed):
        signer.sign(to_bytes(PIXELS, "png", recipe_of()), "png", {"request": {}})  # no manifest can be made of that
    assert signer.sign(to_bytes(PIXELS, "png", recipe_of()), "png", recipe_of())  # and the signer goes on
    signer.close()
