"""The window: the only place for PySide6. Reads the ledger, starts the engine as a process, never imports torch."""
