"""Signing and the safety score."""

from __future__ import annotations

from engine.contract.errors.base import CommonArtError, UsageError


class SigningFailed(CommonArtError):
    kind = "signing"
    message = "Images cannot be signed: {why}"
    hint = (
        "They are saved all the same, unsigned. Set the key right, or turn signing off in the settings or with "
        "--no-sign."
    )


class BadCertificate(UsageError):
    kind = "bad-certificate"
    message = "The certificate {path} cannot sign images: {why}"
    hint = (
        "It takes a PEM file with the signer's certificate first and its issuers after it, valid today and meant for "
        "signing, and its private key "
        "in a PEM file without a password."
    )


class ScoreFailed(CommonArtError):
    kind = "score"
    message = "Images cannot be given a safety score: {why}"
    hint = (
        'They are saved all the same. Install it with: pip install "commonart-desktop[safety]", or turn the score off in '
        "the settings."
    )
