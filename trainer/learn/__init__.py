"""The training itself: cached features, exact order, LoRA or full weights, checkpoints that survive anything."""
