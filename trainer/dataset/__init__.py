"""Dataset folders: images with a record of licence, origin and captions for each.

Only the captioner imports torch.
"""
