"""The queue worked off by many machines, over Ray. The ledger, names, signatures and files stay here; pictures are drawn there."""
