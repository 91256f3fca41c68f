"""The recipe of the bundled model ``commonart-mini``: ``python -m trainer.mini`` makes it again from nothing."""
