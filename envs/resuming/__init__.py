"""Environments that go on where they were: the recorder of an episode, random streams, and vectors of them."""
