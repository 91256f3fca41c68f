"""Our engine against others on the same checkpoint and machine; ``python -m engine.bench`` prints one JSON document."""
