"""An example of a feature without data. `make drop-example` removes it."""
