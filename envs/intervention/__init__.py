"""Somebody else's hands on an environment: a wrapper that lets a device take over, and the devices."""
