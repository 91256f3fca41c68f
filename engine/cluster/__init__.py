"""Generate the queue on many machines, over Ray.

The ledger, file names, signatures and files stay on this machine; the others only compute.
"""
