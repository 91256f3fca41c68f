"""Learning from licensed pictures. Runs as its own process; the engine never imports it."""
