"""Measure how well a model follows prompts."""
