"""Bad input by the thousand: readers of everything that others may hand us. ``python -m tests.fuzz`` runs it."""
