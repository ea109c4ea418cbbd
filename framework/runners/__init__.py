"""Runners: an experiment in the user's own program, trained in calls of `learn`, with callbacks by event.

`from framework import OnPolicyRunner, OffPolicyRunner`.
"""
