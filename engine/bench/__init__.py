"""Our engine against others on the same checkpoint and machine; ``python -m engine.bench`` answers with one JSON document."""
