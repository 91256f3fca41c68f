"""The licence gate: each rule breaks a good folder in one way, and exactly that is found."""

from __future__ import annotations

import datetime
import io
import json
import os
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from engine.contract.errors import BadPolicy, GateClosed, NoRecords
from tests.support.images import CC0, CC_BY, make_dataset
from tests.support.paths import ROOT
from trainer.dataset.files import sha256_of
from trainer.dataset.licence.gate import check
from trainer.dataset.licence.perceptual_hash import PerceptualHash, perceptual_hash, similar_pairs
from trainer.dataset.licence.policy import BUILT_IN, load_policy
from trainer.dataset.licence.report import read_report
from trainer.dataset.licence_names import from_statement, from_url, url_of
from trainer.dataset.records import FILE
from trainer.dataset.spdx import parse

Rows = list[dict[str, Any]]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "set", 6, size=64)


def rows_of(folder: Path) -> Rows:
    return [json.loads(x) for x in (folder / FILE).read_text(encoding="utf-8").splitlines()]


def put(folder: Path, rows: Rows) -> None:
    (folder / FILE).write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def replace(folder: Path, number: int, data: bytes, ending: str = ".png") -> str:
    """Another file for a row, correctly recorded."""
    rows = rows_of(folder)
    (folder / rows[number]["file_name"]).unlink()
    rows[number]["file_name"] = Path(rows[number]["file_name"]).with_suffix(ending).name
    (folder / rows[number]["file_name"]).write_bytes(data)
    rows[number]["sha256"] = sha256_of(folder / rows[number]["file_name"])
    put(folder, rows)
    return rows[number]["file_name"]


def saved(folder: Path, number: int, kind: str = "PNG", **options: Any) -> bytes:
    """Row ``number``'s picture again, with something in it."""
    out = io.BytesIO()
    with Image.open(folder / rows_of(folder)[number]["file_name"]) as image:
        image.save(out, kind, **options)
    return out.getvalue()


def found(folder: Path, **options: Any) -> list[tuple[str, str, str]]:
    """(rule, severity, file) of every finding."""
    return [(f.rule, f.severity, f.file) for f in check(folder, **options).findings]


def test_a_good_folder_passes_and_says_the_same_bytes_twice(good: Path) -> None:
    report = check(good)
    assert report.passed and report.findings == () and report.pictures == 6
    assert (
        report.licences == {"CC-BY-4.0": 4, "CC0-1.0": 2}
        and report.classes == {"by": 4, "public-domain": 2}
        and report.captions == {"en": 6, "ja": 6}
    )
    first = (good / "gate-report.json").read_bytes()
    assert check(good, full=True).sha256 == report.sha256 and (good / "gate-report.json").read_bytes() == first
    data = read_report(good / "gate-report.json")
    assert (
        data["policy"]["name"] == "commercial"
        and data["policy_sha256"] == BUILT_IN["commercial"].sha256
        and str(good) not in first.decode()
    )
    text = (good / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "出典" in text and text.count("https://creativecommons.org/licenses/by/4.0/") == 4 and "by Drawer 1" in text
    report.demand(good)


def test_manifest_hash_follows_names_bytes_and_licences_only(good: Path) -> None:
    before = check(good).manifest_sha256
    rows = rows_of(good)
    rows[0]["text"] = "other words"
    put(good, rows[::-1])
    assert check(good).manifest_sha256 == before
    rows[0] |= CC_BY
    put(good, rows)
    assert check(good).manifest_sha256 != before


# one row wrong --------------------------------------------------------------------------------------------------------

ROW_CASES: dict[str, tuple[int, dict[str, Any], str, str]] = {
    "no licence": (1, {"license": ""}, "licence-missing", "block"),
    "no SPDX": (1, {"license": "Creative Commons"}, "licence-unreadable", "block"),
    "non-commercial": (1, {"license": "CC-BY-NC-4.0", "license_url": ""}, "licence", "block"),
    "no derivatives": (
        1,
        {"license": "CC-BY-ND-4.0", "license_url": "https://creativecommons.org/licenses/by-nd/4.0/"},
        "licence",
        "block",
    ),
    "share-alike": (
        1,
        {"license": "CC-BY-SA-4.0", "license_url": "https://creativecommons.org/licenses/by-sa/4.0/"},
        "licence",
        "warn",
    ),
    "own ref": (1, {"license": "LicenseRef-Somebody", "license_url": ""}, "licence", "block"),
    "by without creator": (1, {"creator": ""}, "attribution", "block"),
    "by without source": (1, {"source_url": ""}, "attribution", "block"),
    "by without address": (1, {"license_url": ""}, "attribution", "block"),
    "address of another": (
        1,
        {"license_url": "https://creativecommons.org/licenses/by-nc/4.0/"},
        "licence-url-differs",
        "block",
    ),
    "no hash": (1, {"sha256": ""}, "hash-missing", "block"),
    "wrong hash": (1, {"sha256": "0" * 64}, "hash-differs", "block"),
    "forbidden": (1, {"training_permission": "notAllowed"}, "training-forbidden", "block"),
    "constrained": (1, {"training_permission": "constrained"}, "training-constrained", "warn"),
    "no caption": (1, {"text": "", "text_ja": ""}, "caption-empty", "warn"),
    "blank caption": (1, {"text": ["a cat", "  "]}, "caption-empty", "warn"),
    "long caption": (1, {"text": "x" * 10_001}, "caption-long", "block"),
    "control": (1, {"text": "a\x07b"}, "caption-control", "block"),
    "bidi": (1, {"text": "a\u202eb"}, "caption-control", "block"),
}


@pytest.mark.parametrize("name", ROW_CASES)
def test_one_row_wrong_is_one_finding(good: Path, name: str) -> None:
    number, change, rule, severity = ROW_CASES[name]
    rows = rows_of(good)
    rows[number] |= change
    put(good, rows)
    told = found(good)
    if name == "non-commercial":  # it is BY too, and has lost its address
        assert ("attribution", "block", rows[number]["file_name"]) in told
        told = [t for t in told if t[0] != "attribution"]
    assert told == [(rule, severity, rows[number]["file_name"])]


def test_policies_differ_in_nc_and_or_is_the_readers_choice(good: Path) -> None:
    rows = rows_of(good)
    rows[1] |= {"license": "CC-BY-NC-4.0", "license_url": "https://creativecommons.org/licenses/by-nc/4.0/"}
    put(good, rows)
    assert not check(good, "commercial").passed and check(good, "noncommercial").passed
    rows[1]["license"] = "CC-BY-NC-4.0 OR CC-BY-4.0"
    put(good, rows)
    assert found(good) == []
    rows[1]["license"] = "CC-BY-NC-4.0 AND CC-BY-4.0"
    put(good, rows)
    assert [t[0] for t in found(good)] == ["licence"]


# files ----------------------------------------------------------------------------------------------------------------


def test_one_byte_altered_is_named_even_with_size_and_time_restored(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.dataset.licence.file_facts._FRESH", -1)  # as if the files were older than they are
    name = rows_of(good)[2]["file_name"]
    old = time.time() - 100
    for path in good.glob("*.png"):
        os.utime(path, (old, old))
    assert check(good).passed
    data = bytearray((good / name).read_bytes())
    data[-20] ^= 1
    with (good / name).open("r+b") as f:  # the same inode
        f.write(data)
    os.utime(good / name, (old, old))
    # Windows keeps no time of the last change of a file's entry: there only a full check sees a forger who sets the
    # clock back
    for options in ({"full": True},) if os.name == "nt" else ({}, {"full": True}):
        report = check(good, **options)
        assert [(f.rule, f.file) for f in report.blocking() if f.rule == "hash-differs"] == [("hash-differs", name)]
        with pytest.raises(GateClosed, match=name):
            report.demand(good)


def test_an_unchanged_folder_is_not_read_again_unless_full(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return sha256_of(path)

    monkeypatch.setattr("trainer.dataset.licence.file_facts.sha256_of", counted)
    monkeypatch.setattr("trainer.dataset.licence.file_facts._FRESH", -1)  # as if the files were older than they are
    for options, wanted in (({}, 6), ({}, 0), ({"full": True}, 6)):
        read.clear()
        assert check(good, **options).passed and len(read) == wanted


def test_fresh_files_are_not_remembered(good: Path) -> None:
    from trainer.dataset.licence.facts_cache import FactsCache

    check(good)  # written a moment ago: they might change again within one tick of the clock
    memory = FactsCache(good)
    assert memory.facts() == {}
    memory.close()


def test_a_damaged_memory_is_forgotten(good: Path, own_home: Path) -> None:
    check(good)
    for file in (own_home / "cache" / "gate").glob("*.sqlite"):
        file.write_bytes(b"rubbish" * 1000)
    assert check(good).passed


def test_rows_without_pictures_and_pictures_without_rows(good: Path) -> None:
    rows = rows_of(good)
    (good / rows[0]["file_name"]).unlink()
    assert found(good) == [("no-picture", "block", rows[0]["file_name"])]
    put(good, rows[1:])
    assert found(good) == []
    (good / "deep").mkdir()
    (good / "deep" / "絵.GIF").write_bytes(b"GIF89a")
    (good / ".hidden.png").write_bytes(b"x")
    assert found(good) == [("no-row", "block", "deep/絵.GIF")]


@pytest.mark.parametrize(("recorded", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_in_another_unicode_form_is_the_same_file(good: Path, recorded: str, stored: str) -> None:
    rows = rows_of(good)
    (good / unicodedata.normalize(stored, "がぎ")).mkdir()
    (good / rows[0]["file_name"]).rename(good / unicodedata.normalize(stored, "がぎ/ぱü.png"))
    rows[0]["file_name"] = unicodedata.normalize(recorded, "がぎ/ぱü.png")
    put(good, rows)
    assert found(good) == []
    side = good / unicodedata.normalize(stored, "がぎ/ぱü.png.license")
    side.write_text("SPDX-License-Identifier: CC-BY-NC-4.0\n", encoding="utf-8")
    assert found(good) == [("licence-in-file-differs", "block", rows[0]["file_name"])]
    # the second row of one file on macOS
    put(good, [*rows, rows[0] | {"file_name": unicodedata.normalize(stored, "がぎ/ぱü.png")}])
    assert "two-rows" in {rule for rule, *_ in found(good)}


def test_two_rows_for_one_picture(good: Path) -> None:
    rows = rows_of(good)
    put(good, [*rows, rows[1]])
    assert found(good) == [("two-rows", "block", rows[1]["file_name"])]
    put(good, [*rows, rows[1] | {"license": "CC0-1.0", "file_name": rows[1]["file_name"].upper()}])
    assert [t[:2] for t in found(good)] == [("two-licences", "block")]


def test_a_row_that_cannot_be_read(good: Path) -> None:
    with (good / FILE).open("a", encoding="utf-8") as f:
        f.write("{]\n")
    report = check(good)
    assert [(f.rule, f.line) for f in report.findings] == [("bad-row", 7)]
    with pytest.raises(NoRecords):
        check(good / "..")


def test_an_empty_folder_of_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("")
    assert found(tmp_path) == [("empty", "block", FILE)]


def test_a_broken_picture_is_refused(good: Path) -> None:
    data = (good / rows_of(good)[0]["file_name"]).read_bytes()
    name = replace(good, 0, data[: len(data) // 2])
    assert found(good) == [("picture", "block", name)]


# the same image twice -------------------------------------------------------------------------------------------------


def _copy(folder: Path, data: bytes, name: str, licence: dict[str, str]) -> None:
    (folder / name).write_bytes(data)
    row = rows_of(folder)[1] | licence | {"file_name": name, "sha256": sha256_of(folder / name)}
    put(folder, [*rows_of(folder), row])


def test_the_same_bytes_under_two_licences_are_refused(good: Path) -> None:
    name = rows_of(good)[1]["file_name"]
    _copy(good, (good / name).read_bytes(), "copy.png", CC0)
    assert found(good) == [("two-licences", "block", name), ("two-licences", "block", "copy.png")]


def test_the_same_pixels_under_two_licences_are_refused(good: Path) -> None:
    name = rows_of(good)[1]["file_name"]
    _copy(good, saved(good, 1, "WEBP", lossless=True), "copy.webp", CC0)
    assert found(good) == [("two-licences", "block", name), ("two-licences", "block", "copy.webp")]


def test_the_same_picture_under_one_licence_is_a_warning(good: Path) -> None:
    name = rows_of(good)[1]["file_name"]
    _copy(good, (good / name).read_bytes(), "zz.png", {})
    assert found(good) == [("same-picture", "warn", "zz.png")]


def test_a_near_duplicate_under_another_licence(good: Path, tmp_path: Path) -> None:
    name = rows_of(good)[1]["file_name"]
    _copy(good, saved(good, 1, "JPEG", quality=70), "near.jpg", CC0)
    assert found(good) == [
        ("near-duplicate-other-licence", "block", name),
        ("near-duplicate-other-licence", "block", "near.jpg"),
    ]
    (tmp_path / "p.toml").write_text('[rules]\nnear-duplicate-other-licence = "warn"\n')
    assert check(good, tmp_path / "p.toml").passed
    rows = rows_of(good)
    rows[-1] |= CC_BY
    put(good, rows)
    assert found(good) == [("near-duplicate", "warn", "near.jpg")] and check(good).passed


def test_looks_find_scaled_and_recompressed_copies_and_nothing_else(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "many", 60)
    looks: list[PerceptualHash] = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            looks.append(perceptual_hash(image.convert("RGB")))
            looks.append(perceptual_hash(image.convert("RGB").resize((150, 150), Image.Resampling.BICUBIC)))
    assert sorted(similar_pairs(looks)) == [(n, n + 1) for n in range(0, 120, 2)]


def test_alike_is_what_comparing_every_pair_gives() -> None:
    rng = np.random.default_rng(0)
    base = [int(x) for x in rng.integers(0, 2**63, 40)]
    looks = []
    for value in base:
        for _ in range(3):
            flips = sum(1 << int(b) for b in rng.choice(64, rng.integers(0, 6), replace=False))
            looks.append(PerceptualHash(value ^ flips, value, bytes(192)))
    wanted = {
        (i, j)
        for i in range(120)
        for j in range(i + 1, 120)
        if (looks[i].phash ^ looks[j].phash).bit_count() <= 6 and (looks[i].dhash ^ looks[j].dhash).bit_count() <= 10
    }
    assert len(wanted) > 40 and len(set(looks)) > 100
    got = list(similar_pairs(looks))
    firsts = {looks.index(look) for look in looks}
    assert len(got) == len(set(got)) and {p for p in wanted if set(p) <= firsts} <= set(got) <= wanted
    started = time.monotonic()
    assert (
        len(list(similar_pairs([PerceptualHash(1, 1, bytes(192))] * 20_000))) == 19_999
        and time.monotonic() - started < 10
    )


# what files say of themselves -----------------------------------------------------------------------------------------


def _xmp(inner: str, attributes: str = "") -> bytes:
    return (
        f'<?xpacket begin="\ufeff"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" '
        f'xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'xmlns:xr="http://ns.adobe.com/xap/1.0/rights/" xmlns:tdm="http://www.w3.org/ns/tdmrep#" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/" '
        f'{attributes}>{inner}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


PLUS = "http://ns.useplus.org/ldf/vocab/"
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP_CASES: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "prohibited": (
        _xmp(f"<plus:DataMining>{PLUS}DMI-PROHIBITED-AIMLTRAINING</plus:DataMining>"),
        [("training-forbidden", "block")],
    ),
    "as attribute": (
        _xmp("", f'plus:DataMining="{PLUS}DMI-PROHIBITED-GENAIMLTRAINING"'),
        [("training-forbidden", "block")],
    ),
    "as resource": (_xmp(f'<plus:DataMining rdf:resource="{PLUS}DMI-PROHIBITED"/>'), [("training-forbidden", "block")]),
    "allowed": (_xmp(f"<plus:DataMining>{PLUS}DMI-ALLOWED</plus:DataMining>"), []),
    "unspecified": (_xmp(f"<plus:DataMining>{PLUS}DMI-UNSPECIFIED</plus:DataMining>"), []),
    "tdm": (_xmp("<tdm:reservation>1</tdm:reservation>"), [("training-forbidden", "block")]),
    "tdm zero": (_xmp("<tdm:reservation>0</tdm:reservation>"), []),
    "noai": (
        _xmp("<dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>noai, noimageai</rdf:li></rdf:Alt></dc:rights>"),
        [("training-forbidden", "block")],
    ),
    "ai": (
        _xmp(f"<ext:DigitalSourceType>{IPTC}trainedAlgorithmicMedia</ext:DigitalSourceType>"),
        [("ai-made", "block")],
    ),
    "camera": (_xmp(f"<ext:DigitalSourceType>{IPTC}digitalCapture</ext:DigitalSourceType>"), []),
    "other licence": (
        _xmp("<xr:WebStatement>https://creativecommons.org/licenses/by-nc/4.0/</xr:WebStatement>"),
        [("licence-in-file-differs", "block")],
    ),
    "same licence": (_xmp("<xr:WebStatement>https://creativecommons.org/licenses/by/4.0/</xr:WebStatement>"), []),
    "broken": (b"<x:xmpmeta><rdf DMI-PROHIBITED", [("training-forbidden", "block"), ("unreadable-provenance", "warn")]),
    "entities": (b'<!DOCTYPE a [<!ENTITY b "c">]><x>&b;</x>', [("unreadable-provenance", "warn")]),
}


@pytest.mark.parametrize("name", XMP_CASES)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_xmp(good: Path, name: str, kind: str) -> None:
    packet, wanted = XMP_CASES[name]
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        data = saved(good, 1, pnginfo=info)
    else:
        data = saved(good, 1, kind, xmp=packet)
    replace(good, 1, data, {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}[kind])
    assert [t[:2] for t in found(good)] == wanted


def _text(key: str, value: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text(key, value)
    return info


def _comment(text: str) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
    return exif.tobytes()


A1111 = "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
MADE: dict[str, Callable[[Path], bytes]] = {
    "a1111": lambda f: saved(f, 1, pnginfo=_text("parameters", A1111)),
    "ours": lambda f: saved(f, 1, pnginfo=_text("commonart", "{}")),
    "comfy": lambda f: saved(f, 1, pnginfo=_text("prompt", '{"3": {"class_type": "KSampler"}}')),
    "exif": lambda f: saved(f, 1, exif=_comment(A1111)),
}


@pytest.mark.parametrize("name", MADE)
def test_pictures_of_ai_tools(good: Path, name: str) -> None:
    file = replace(good, 1, MADE[name](good))
    assert found(good) == [("ai-made", "block", file)]


def test_plain_texts_are_no_sign_of_ai(good: Path) -> None:
    replace(
        good,
        1,
        saved(good, 1, pnginfo=_text("Comment", "Steps: 20 up to the shrine, Seed: none"), exif=_comment("a nice day")),
    )
    assert found(good) == []


@pytest.fixture(scope="module")
def signer() -> Any:
    """A C2PA signer with a chain of its own."""
    from c2pa import C2paSignerInfo, C2paSigningAlg, Signer
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(text: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, text), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test")]
        )

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    now = datetime.datetime.now(datetime.UTC)
    chain = []
    for ca, key in zip((True, False), keys, strict=False):
        b = (
            x509.CertificateBuilder()
            .subject_name(named("root" if ca else "leaf"))
            .issuer_name(named("root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, False, False, False), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), False)
        )
        if not ca:
            b = b.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        chain.append(b.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    secret = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with Signer.from_info(C2paSignerInfo(C2paSigningAlg.ES256, chain[1] + chain[0], secret, None)) as signer:
        yield signer


def _signed(signer: Any, data: bytes, use: str = "", source: str = "") -> bytes:
    from c2pa import Builder, Context

    assertions: list[dict[str, Any]] = []
    if use:
        assertions.append(
            {
                "label": "cawg.training-mining",
                "data": {
                    "entries": {"cawg.ai_generative_training": {"use": use}, "cawg.ai_inference": {"use": "notAllowed"}}
                },
            }
        )
    action = {
        "action": "c2pa.created",
        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/" + (source or "digitalCapture"),
    }
    assertions.append({"label": "c2pa.actions.v2", "data": {"actions": [action]}})
    context = Context.from_dict(
        {"builder": {"thumbnail": {"enabled": False}}, "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    )
    out = io.BytesIO()
    with Builder({"claim_generator_info": [{"name": "test"}], "assertions": assertions}, context=context) as builder:
        builder.sign(signer, "image/png", io.BytesIO(data), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("use", "source", "wanted"),
    [
        ("notAllowed", "", [("training-forbidden", "block")]),
        ("constrained", "", [("training-constrained", "warn")]),
        ("allowed", "", []),
        ("", "trainedAlgorithmicMedia", [("ai-made", "block")]),
        ("", "", []),
    ],
)
def test_content_credentials(good: Path, signer: Any, use: str, source: str, wanted: list[tuple[str, str]]) -> None:
    replace(good, 1, _signed(signer, saved(good, 1), use, source))
    assert [t[:2] for t in found(good)] == wanted


def test_a_word_against_training_stands_though_the_signature_is_broken(good: Path, signer: Any) -> None:
    data = _signed(signer, saved(good, 1), "notAllowed")
    tampered = bytearray(data)
    tampered[data.rindex(b"IDAT") + 20] ^= 1
    replace(good, 1, bytes(tampered))
    assert ("training-forbidden", "block") in [t[:2] for t in found(good)] or ("picture", "block") in [
        t[:2] for t in found(good)
    ]
    from trainer.dataset.evidence.embedded import Embedded, _c2pa, assertions
    from trainer.dataset.licence.signals import _assertion, _Collector

    told, embedded = _Collector(), Embedded()
    _c2pa("PNG", good / rows_of(good)[1]["file_name"], None, embedded)
    for label, content in assertions(embedded):
        _assertion(label, content, told)
    assert told.forbids == {"C2PA cawg.ai_generative_training notAllowed"}


# policy ---------------------------------------------------------------------------------------------------------------


def test_a_policy_file_changes_what_it_names(good: Path, tmp_path: Path) -> None:
    file = tmp_path / "studio.toml"
    file.write_text(
        'name = "studio"\nbase = "commercial"\n[classes]\nsa = "block"\n[rules]\nattribution = "warn"\n'
        "[limits]\ncreator_share = 0.1\ncreator_pictures = 5\n"
        '[licences]\n"LicenseRef-Archive" = "allow"\n"CC0-1.0" = "warn"\n',
        encoding="utf-8",
    )
    policy = load_policy(file)
    assert (
        policy.classes["sa"] == "block"
        and policy.rules["attribution"] == "warn"
        and policy.sha256 != BUILT_IN["commercial"].sha256
    )
    rows = rows_of(good)
    rows[1] |= {"license": "LicenseRef-Archive", "license_url": ""}
    rows[2] |= {"creator": ""}
    put(good, rows)
    told = found(good, policy=file)
    assert ("licence", "warn", rows[0]["file_name"]) in told and ("attribution", "warn", rows[2]["file_name"]) in told
    assert any(r == "one-creator" for r, _, _ in told) and rows[1]["file_name"] not in [f for _, _, f in told]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[clases]\n", "did you mean 'classes'"),
        ('[classes]\nnd = "maybe"\n', "one of allow, warn, block"),
        ('[rules]\nai-mad = "warn"\n', "did you mean 'ai-made'"),
        ("[limits]\ncreator_share = 7\n", "a number from 0 to 1"),
        ('base = "x"\n', "one of commercial"),
        ('[licences]\n"foo" = "allow"\n', "not a licence"),
        ("x = [", "not TOML"),
        ("classes = 3", "not a table"),
    ],
)
def test_a_wrong_policy_is_a_sentence(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(BadPolicy, match=why):
        load_policy(tmp_path / "p.toml")


def test_one_creator_who_dominates_is_a_warning_unless_the_pictures_are_your_own(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "set", 24, size=64)
    rows = [r | {"creator": "Hokusai" if n < 14 else r["creator"]} for n, r in enumerate(rows_of(folder))]
    put(folder, rows)
    assert found(folder) == [("one-creator", "warn", FILE)]
    put(folder, [r | {"license": "LicenseRef-Own", "license_url": ""} for r in rows])
    assert found(folder) == []


def test_spdx_expressions_and_addresses() -> None:
    assert parse("(mit or CC-BY-NC-SA-4.0) AND cc0-1.0").choices[1].classes == ("by", "nc", "public-domain", "sa")
    assert parse("GPL-2.0-only WITH Classpath-exception-2.0").choices[0].classes == ("sa",)
    assert parse("LicenseRef-Own-Studio").choices[0].classes == ("own",) and parse("NOASSERTION").choices[
        0
    ].classes == ("unknown",)
    for text in ("", "foo", "MIT AND", "(MIT", "MIT/Apache-2.0", "x" * 2000, "MIT WITH foo", "(" * 500):
        with pytest.raises(ValueError) as e:
            parse(text)
        assert hasattr(e.value.args[0], "template")
    for url, licence in (
        ("http://creativecommons.org/licenses/by-nc-sa/2.0/", "CC-BY-NC-SA-2.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/deed.ja", "CC0-1.0"),
        ("https://www.usa.gov/copyright.shtml", "LicenseRef-US-Government-Work"),
        ("https://creativecommons.org/licenses/by/2.1/jp/", "LicenseRef-CC-BY-2.1-JP"),
        ("https://creativecommons.org/licenses/by/3.0/de/", "CC-BY-3.0-DE"),
        ("https://example.org/licenses/by/4.0", None),
        ("https://creativecommons.org/licenses/by/9.0/", None),
    ):
        assert from_url(url) == licence
    assert (
        parse("LicenseRef-CC-BY-2.1-JP").choices[0].classes == ("by",) and url_of("CC-BY-4.0") == CC_BY["license_url"]
    )
    assert (
        from_statement("CC BY 4.0") == "CC-BY-4.0" and from_statement("Attribution License") is None
    )  # no version: nothing is guessed


# the program ----------------------------------------------------------------------------------------------------------


def test_command_line_tells_every_file_in_both_languages_and_its_exit_status(good: Path) -> None:
    rows = rows_of(good)
    put(good, [rows[0], rows[1] | {"license": ""}, *rows[2:]])
    (good / rows[3]["file_name"]).unlink()

    def run(language: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "commonart_desktop", "dataset", *arguments],
            cwd=ROOT,
            encoding="utf-8",
            capture_output=True,
            env=os.environ | {"COMMONART_LANG": language},
            check=False,
        )

    english, japanese = run("en", "check", str(good)), run("ja", "check", str(good))
    for done in (english, japanese):
        assert done.returncode == 1 and done.stderr.count("Traceback") == 0
        assert all(rows[n]["file_name"] in done.stdout for n in (1, 3)) and rows[0]["file_name"] not in done.stdout
    assert (
        "no licence is given" in english.stdout
        and "ライセンス" in japanese.stdout
        and "no licence" not in japanese.stdout
    )
    put(good, [rows[0], *rows[1:3], *rows[4:]])
    passed = run("en", "check", str(good), "--json")
    assert passed.returncode == 0 and json.loads(passed.stdout)["passed"] is True
    assert run("en", "check", str(good), "--policy", "none.toml").returncode == 2


def test_importing_the_gate_needs_no_torch() -> None:
    code = (
        "import sys, trainer.dataset.licence.gate, trainer.dataset.importers.run, trainer.dataset.__main__; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
