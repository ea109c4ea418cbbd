"""What Ray gets on this machine besides its settings: environment variables, a folder with a short name, and a token
that nobody else has."""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from algos.common.errors import UserError

FOLDER = "jray-"  # Ray's files of a run, in a folder for temporary files; then the process id
SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"  # the longest name that Ray puts there
SOCKET_BYTES = (104 if sys.platform == "darwin" else 108) - 1  # in the name of a socket
SHORT = "/tmp"  # where the folder for temporary files has too long a name
TOKEN, MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_MODE"
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do one day anyway; silences a warning
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of rollouts that nobody waits for any more
    "RAY_worker_niceness": "0",  # actors are not behind whatever else the machine does
    # Ray's server would keep a record of each call for a dashboard that a run does not have, and grow all the time
    "RAY_task_events_report_interval_ms": "0",
    # Ray ends a process without a word (exit code 1) if its call to the raylet fails and the raylet, with this number,
    # is dead; where it knows no number, if the parent of the process is gone, as after nohup. Its own processes get the
    # true number. This one has yet to tell what failed, so it gets one that always lives.
    "RAY_RAYLET_PID": "1",
}


def set_environment() -> None:
    """For this process and every process of a Ray that it starts, unless the user's environment says otherwise.

    Ray reads some of it only once, when it is imported.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def make_folder() -> str:
    """A new folder for Ray's files, only for this user: in RAY_TMPDIR, the folder for temporary files, or /tmp.

    Raises UserError where RAY_TMPDIR's name is too long for Ray's sockets, or nothing can be written there.
    """
    asked = os.environ.get("RAY_TMPDIR")
    place = os.path.abspath(asked or tempfile.gettempdir())
    room = SOCKET_BYTES - len(f"/{FOLDER}{os.getpid()}-12345678{SOCKET}")
    if len(os.fsencode(place)) > room and sys.platform != "win32":  # there Ray has no such sockets
        if asked:
            raise UserError(
                f"RAY_TMPDIR={asked} is too long: its name has {len(os.fsencode(place))} bytes, and Ray's sockets"
                f" leave room for {room}; set it to a shorter folder, or unset it to use {SHORT}"
            )
        place = SHORT
    remove_leftovers(Path(place))
    try:
        if asked:
            os.makedirs(place, exist_ok=True)
        return tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-", dir=place)
    except OSError as error:
        raise UserError(
            f"Ray cannot write its files in {place}: {error.strerror}; set RAY_TMPDIR to a folder where it can, with"
            f" a name of at most {room} bytes"
        ) from error


def remove_leftovers(place: Path) -> None:
    """Delete the folders of runs that were killed before they could do so."""
    for path in place.glob(f"{FOLDER}*"):
        owner = path.name.removeprefix(FOLDER).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists() and Path("/proc").exists():
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def own_token() -> Iterator[None]:
    """A token for the Ray that is started meanwhile, in the environment of this process: no file has it.

    One that the user's environment names is left as it is, and so is RAY_AUTH_MODE=disabled.
    """
    before = {name: os.environ.get(name) for name in (TOKEN, MODE)}
    if os.environ.get(MODE, "token") == "token" and not {TOKEN, f"{TOKEN}_PATH"} & set(os.environ):
        os.environ.update({TOKEN: secrets.token_hex(32), MODE: "token"})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def close_token_file() -> None:
    """Take other users' right to read the file with this user's token: Ray itself makes it with the usual rights."""
    path = Path(os.environ.get(f"{TOKEN}_PATH") or Path.home() / ".ray" / "auth_token")
    with suppress(OSError):
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
