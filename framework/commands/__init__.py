"""What the command line can do besides composing a configuration: the modes, sweeps, verification, completion.

Nothing else imports this wing but `framework/cli.py`.
"""
