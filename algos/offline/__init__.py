"""Learning a policy from a dataset alone."""
