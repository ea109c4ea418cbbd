"""The commands of the command line: modes, sweeps, verification, completion.

Nothing else imports this wing but `framework/cli.py`.
"""
