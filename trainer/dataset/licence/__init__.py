"""The licence gate: checks whether a policy allows training on a dataset. Does not import torch."""
