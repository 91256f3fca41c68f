"""Import images and their metadata into a dataset folder.

Licences are never guessed.
"""
