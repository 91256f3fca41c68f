"""The licence gate: may these pictures be learned from, under this policy? Knows nothing of torch."""
