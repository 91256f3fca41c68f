"""``python -m engine.doctor``: what this machine has, what is missing, and how to get it.

``checks.py`` is the form of a check; ``libraries.py``, ``devices.py``, ``storage.py``, ``models.py`` and ``memory.py``
do the checking; ``report.py`` runs them all in the order in which they are shown.
"""
