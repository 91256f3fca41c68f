"""Folders of pictures with a record of licence, origin and captions for each.

Knows nothing of torch, but for the captioner.
"""
