"""Makes pictures. No Qt, nothing of ``commonart_desktop``."""
