"""Encoders that turn images and texts into features, from local files only."""
