"""Adapters of other programs as data: the names of their tensors, their settings, and which layers they change."""
