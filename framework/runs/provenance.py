"""Where a result came from: the code, the versions, the machine and the command, in `provenance.json`."""

import hashlib
import hmac
import importlib.metadata
import json
import logging
import os
import platform
import secrets
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from algos.common.errors import UserError
from framework.runs.checkout import IS_CHECKOUT, ROOT
from framework.runs.files import atomic_write, read_plain

log = logging.getLogger("joyride")

FILE = "provenance.json"
ORIGIN = ".origin"  # in a folder whose settings name code of the user's: that it is the user's own
NO_CODE = {"commit": None, "branch": None, "dirty": None, "diff_sha256": None}
PACKAGES = ("torch", "gymnasium", "numpy", "ray", "hydra-core", "omegaconf", "joyride")


def collect() -> dict[str, Any]:
    """Facts of this process, ready for JSON; what cannot be found out is None."""
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "cwd": os.getcwd(),
        "code": own_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in PACKAGES},
        "hardware": _hardware(),
    }


def write(folder: Path, *, resumed: bool) -> Path:
    """Write `<folder>/provenance.json`; of a resumed run, append to its list `resumed` and keep the rest as it is."""
    path = Path(folder) / FILE
    facts: dict[str, Any] = collect()
    if resumed:
        try:
            first = json.loads(path.read_text(encoding="utf-8"))
            first.setdefault("resumed", []).append(facts)
            facts = first
        except (OSError, ValueError, AttributeError) as error:
            log.warning("%s could not be read (%s); it is written again", path, error)
            facts["resumed"] = []
    atomic_write(path, (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode())
    return path


def sign(folder: Path, code: Sequence[str]) -> None:
    """Note in a folder that this user's settings there name the `code`, by dotted paths; see `is_own`."""
    signature = _signature(code)
    if signature is None:
        log.warning("%s cannot be written, so later uses of %s will need trust=true", _key_file(), folder)
    else:
        atomic_write(Path(folder) / ORIGIN, f"{signature}\n".encode())


def is_own(folder: Path, code: Sequence[str]) -> bool:
    """Whether this user's own Joyride has written settings to the folder that name this code.

    Only who has the user's key can have signed them; it is made at the first use and is in no run.
    """
    try:
        there = read_plain(Path(folder) / ORIGIN, 1000).decode("ascii").strip()
    except (UserError, ValueError):
        return False
    signature = _signature(code)
    return signature is not None and hmac.compare_digest(there, signature)


def _signature(code: Sequence[str]) -> str | None:
    key = _key()
    return None if key is None else hmac.new(key, "\n".join(sorted(code)).encode(), "sha256").hexdigest()


def _key_file() -> Path:
    if os.name == "nt":
        state = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "joyride" / "key"


def _key() -> bytes | None:
    """The user's key, made if there is none; None where it cannot be kept."""
    place = _key_file()
    with suppress(OSError, RuntimeError):  # RuntimeError: a user without a home
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = place.with_name(f"key.{os.getpid()}-{secrets.token_hex(4)}")
        if not place.exists():
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            try:
                os.link(fresh, place)  # of two processes, the first one's stays
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        return place.read_bytes() or None
    return None


def own_version() -> dict[str, Any]:
    """The `code_version` of Joyride itself: of a checkout alone.

    Installed packages may lie inside a repository of the user's, whose commit says nothing of them.
    """
    return code_version(ROOT) if IS_CHECKOUT else dict(NO_CODE)


def code_version(folder: Path) -> dict[str, Any]:
    """Commit, branch, and whether and how (sha256 of `git diff HEAD`) the tracked files of `folder` differ from it.

    All None if there is no git or no commit; `branch` is None on a detached head.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    # Fixed options: the same changes must give the same hash on a machine with other git settings.
    diff = _git(folder, "diff", "HEAD", "--binary", "--no-color", "--no-ext-diff", "--no-textconv")
    if commit is None or diff is None:
        return dict(NO_CODE)
    branch = _git(folder, "branch", "--show-current") or b""
    return {
        "commit": commit.decode().strip(),
        "branch": branch.decode("utf-8", "replace").strip() or None,
        "dirty": bool(diff),
        "diff_sha256": hashlib.sha256(diff).hexdigest(),
    }


def is_changed(folder: Path, *places: str) -> bool | None:
    """Whether files in these places of `folder`, untracked ones too, differ from its commit; None without git."""
    status = _git(folder, "status", "--porcelain", "--", *places)
    return None if status is None else bool(status)


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Output of a git command in `folder`; None where git is absent, fails or hangs."""
    # A hook's GIT_DIR names the repository that the hook runs for, which need not be that of `folder`.
    hidden = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _hardware() -> dict[str, Any]:
    cores = os.cpu_count()
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))  # those that this process may use
    memory = None
    with suppress(AttributeError, ValueError, OSError):
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return {"cpu": _cpu_model(), "cores": cores, "memory_gib": memory, "gpus": _gpus()}


def _cpu_model() -> str | None:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or None


def _gpus() -> list[str]:
    import torch

    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
