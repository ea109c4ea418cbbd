"""Addresses on this machine, for processes that meet."""

import socket


def free_address():
    """<host>:<port> that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
