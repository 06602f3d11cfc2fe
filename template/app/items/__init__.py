"""An example of a feature with data. `make drop-example` removes it."""
