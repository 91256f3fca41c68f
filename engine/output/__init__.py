"""Saving images: names, metadata, and atomic writes."""
