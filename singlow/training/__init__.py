"""Training: the plan of a run, its directory, the optimizer, callbacks and `fit`."""
