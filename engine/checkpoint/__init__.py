"""Find, identify, check, hash and convert model folders. Needs neither torch nor a network."""
