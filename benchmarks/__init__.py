"""The cost of the layers around FastAPI, as ratios against a bare FastAPI application measured in the same run."""
