"""One module per verb: `HELP`, `arguments`, `run`, and `remote` where it is another thing there."""
