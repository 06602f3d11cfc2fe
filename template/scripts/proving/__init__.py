"""What `scripts/prove` is made of."""
