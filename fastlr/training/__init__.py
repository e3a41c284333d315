"""Training: train, sweep and path, and the steps from their arguments to finished runs."""
