"""Evaluation and copy check."""

from __future__ import annotations

from engine.contract.errors.base import UsageError


class BadEncoder(UsageError):
    kind = "bad-encoder"
    message = "{path} cannot be used as an encoder: {why}"
    hint = "docs/evaluation.md lists what an encoder's folder holds; nothing is fetched from the network."


class TooFewToCompare(UsageError):
    kind = "too-few-to-compare"
    message = "{path} holds {count} image(s) that can be read; KID and CMMD need at least {least}, FID {least_fid}"
    hint = "Give a folder of more images, or leave --reference out."


class NothingToEvaluate(UsageError):
    kind = "nothing-to-evaluate"
    message = "There is nothing to draw: {why}"
    hint = "Give prompts with --prompts: a .txt, .csv or .jsonl file, captions of COCO's form, or a dataset folder."


class RecipesDiffer(UsageError):
    kind = "recipes-differ"
    message = "The two cannot be compared, since they were not made by the same recipe: {what}"
    hint = (
        "Evaluate both with the same prompts, seed, steps, sampler, sizes, encoders and reference; only model and "
        "LoRAs may differ."
    )


class NothingToCheck(UsageError):
    kind = "nothing-to-check"
    message = "There is no image to check: {why}"
    hint = "Give images or folders of images (PNG, JPEG, WebP), or --extract MODEL."
