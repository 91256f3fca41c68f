"""How well a model follows words, measured."""
