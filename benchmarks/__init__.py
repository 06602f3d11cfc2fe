"""What the frame costs, as ratios against a bare FastAPI application measured in the same run."""
