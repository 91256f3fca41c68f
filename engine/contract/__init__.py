"""Plain data that the front ends share with the engine. Standard library only."""
