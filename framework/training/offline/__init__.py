"""Runs that learn from a dataset: updates are their clock, an environment only evaluates."""
