"""Who signs: a local identity made at first use, or the user's own certificate.

A local identity is a root certificate and one leaf under it (P-256). The root's private key is discarded as soon as the
leaf is signed, so that nobody can ever issue a second one. Each studio name has its folder in ``home()/keys``; the
folder is created under a temporary name and renamed, so that two processes that start at once end up with the same one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from engine.contract.errors import BadCertificate, Phrase, SigningFailed, system_words
from engine.contract.fault_injection import fault_point
from engine.contract.files import rename
from engine.contract.paths import home
from engine.provenance import keystore

STUDIO = "CommonArt Desktop user"
YEARS = 30  # without a time stamp an image is only as valid as the certificate that signed it
CHAIN, KEY = "chain.pem", "leaf.key"
_LIMIT = 1 << 20  # bytes of a PEM file


@dataclass(frozen=True, kw_only=True)
class Identity:
    """``chain`` is PEM, the signer's certificate first; ``key`` PKCS #8 PEM without a password; ``alg`` as C2PA names
    it.
    """

    name: str
    chain: bytes
    key: bytes
    alg: str


def keys_folder() -> Path:
    """The folder of identities, with the certificates of others whom the user trusts in ``trusted``."""
    return home() / "keys"


def local(studio: str) -> Identity:
    """The identity of this studio name, created if it does not exist.

    Raises:
        SigningFailed: its key cannot be read, or nothing can be stored here.
    """
    name = " ".join(studio.split())[:64] or STUDIO  # 64: the most that X.509 takes
    folder = keys_folder() / hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:16]
    try:
        if not (folder / CHAIN).is_file():
            _create(name, folder)
        chain = (folder / CHAIN).read_bytes()
    except OSError as e:
        raise SigningFailed(
            why=Phrase("its key cannot be kept in {path} ({reason})", path=folder, reason=system_words(e))
        ) from e
    key = keystore.fetch(_fingerprint(chain), folder / KEY)
    try:
        if _public(serialization.load_pem_private_key(key, None).public_key()) != _public(
            x509.load_pem_x509_certificate(chain).public_key()
        ):
            raise ValueError
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        raise SigningFailed(
            why=Phrase("its key does not fit its certificate; removing {folder} makes a new one", folder=folder)
        ) from e
    return Identity(name=name, chain=chain, key=key, alg="es256")


def _create(name: str, folder: Path) -> None:
    """Create the identity under a temporary name and rename it; the second of two processes uses the first one's.

    Raises OSError, SigningFailed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sweep(folder.parent)
    chain, key = _issue(name)
    aside = folder.parent / f".new-{secrets.token_hex(6)}"
    aside.mkdir(mode=0o700)
    try:
        (aside / CHAIN).write_bytes(chain)
        keystore.keep(_fingerprint(chain), key, aside / KEY)
        with fault_point("rename key"):
            rename(aside, folder)  # refuses a folder that is there and not empty
    except OSError:
        if not (folder / CHAIN).is_file():
            raise
        keystore.forget(_fingerprint(chain))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove leftovers of killed processes: an hour old, so that no running one is disturbed."""
    for old in folder.glob(".new-*"):
        try:
            if time.time() - old.stat().st_mtime > 3600:
                shutil.rmtree(old, ignore_errors=True)
        except OSError:
            continue


def _issue(name: str) -> tuple[bytes, bytes]:
    """(chain PEM, leaf key PEM): profile of the C2PA specification, section on X.509 certificates."""
    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)  # another machine's clock may be behind

    def named(common: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name), x509.NameAttribute(NameOID.COMMON_NAME, common[:64])]
        )

    def usage(*, sign: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=sign,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=not sign,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )

    def begun(subject: x509.Name, public: ec.EllipticCurvePublicKey, years: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + dt.timedelta(days=365 * years))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )

    issuer = named(f"{name[:59]} root")
    root = (
        begun(issuer, root_key.public_key(), YEARS + 1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(sign=False), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        begun(named(name), leaf_key.public_key(), YEARS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(sign=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    return pem(leaf) + pem(root), _pem(leaf_key)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public(key: object) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def _fingerprint(chain: bytes) -> str:
    return x509.load_pem_x509_certificate(chain).fingerprint(hashes.SHA256()).hex()


def own(certificate: Path, key: Path) -> Identity:
    """The user's certificate. Its public part is remembered, so that its images are known as this studio's.

    Raises:
        BadCertificate: a file is missing or no PEM, they do not fit, it is not valid today, or of a kind C2PA does not
            take.
    """

    def bad(why: str) -> BadCertificate:
        return BadCertificate(path=certificate, why=why)

    try:
        if max(certificate.stat().st_size, key.stat().st_size) > _LIMIT:
            raise bad(Phrase("it is not PEM"))
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except OSError as e:
        raise bad(system_words(e)) from e
    except TypeError as e:
        raise bad(Phrase("its key has a password")) from e
    except (ValueError, UnsupportedAlgorithm) as e:
        raise bad(Phrase("it is not PEM")) from e
    alg = _algorithm(private)
    if alg is None or not isinstance(
        private, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)
    ):
        raise bad(Phrase("C2PA takes keys of the kinds P-256, P-384, P-521, RSA from 2048 bits on and Ed25519"))
    if _public(private.public_key()) != _public(chain[0].public_key()):
        raise bad(Phrase("the key belongs to another certificate"))
    if not chain[0].not_valid_before_utc <= dt.datetime.now(dt.UTC) <= chain[0].not_valid_after_utc:
        raise bad(
            Phrase(
                "it is valid from {begin} to {end}",
                begin=chain[0].not_valid_before_utc.date(),
                end=chain[0].not_valid_after_utc.date(),
            )
        )
    text = b"".join(pem(c) for c in chain)
    folder = keys_folder() / f"own-{_fingerprint(text)[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CHAIN).write_bytes(text)
    except OSError:
        pass  # it signs all the same
    return Identity(name=name_of(chain[0]), chain=text, key=_pem(private), alg=alg)


def _algorithm(key: object) -> str | None:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}.get(key.curve.name)
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256" if key.key_size >= 2048 else None
    return "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else None


def name_of(certificate: x509.Certificate) -> str:
    """The organisation it was issued to, else its common name."""
    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for found in certificate.subject.get_attributes_for_oid(oid):
            return str(found.value)
    return "?"


def pem(certificate: x509.Certificate) -> bytes:
    """As text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def chains() -> list[list[x509.Certificate]]:
    """Every chain that has signed here, including earlier names; the signer's certificate first."""
    found = []
    for file in sorted(keys_folder().glob(f"*/{CHAIN}")):
        try:
            found.append(x509.load_pem_x509_certificates(file.read_bytes()[:_LIMIT]))
        except (OSError, ValueError):
            continue  # a damaged file identifies nobody
    return found


def trusted(extra: list[Path]) -> list[bytes]:
    """PEM of the certificates of others that the user trusts: ``keys/trusted/*.pem`` and the files given.

    Raises:
        BadCertificate: a file given cannot be read.
    """
    found = []
    for file in [*sorted((keys_folder() / "trusted").glob("*.pem")), *extra]:
        try:
            found += [pem(c) for c in x509.load_pem_x509_certificates(file.read_bytes()[:_LIMIT])]
        except (OSError, ValueError) as e:
            if file in extra:
                raise BadCertificate(
                    path=file, why=system_words(e) if isinstance(e, OSError) else Phrase("it is not PEM")
                ) from e
    return found
