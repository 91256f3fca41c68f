"""Taking pictures and what is known of them from elsewhere into a dataset folder.

Licences are asked for, never guessed.
"""
