"""What environments tell beside observations and rewards: how an episode ended, and who acted."""
