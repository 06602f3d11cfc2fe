"""How many requests a second one client may send."""
