"""Run Python that nobody has read: bounded, offline, blind to the user's files, and gone when its time is up.

In: code and its standard input. Out: `Outcome`; whatever the code does, this returns. Must not know what it is for.

What each layer is for (all on Linux; each was tried as root and as a user without rights):

- limits: CPU seconds, address space, file size, open files (`setrlimit`). The parent adds wall time, bytes printed,
  bytes and number of files written, and threads. Not against: slowing the machine down within these bounds.
- calls: a seccomp filter refuses sockets, child processes, signals to others, tracing, chmod, io_uring and every call
  newer than the filter. So a fork bomb cannot start and no child can outlive. Not against: a fault in the kernel.
- files: landlock lets it open the interpreter, its libraries and one empty folder that is then thrown away. Not
  against: asking whether a path exists (`stat` is not covered).
- network: a user and network namespace of its own, where the kernel permits; where it does not, as in most
  containers, the refused `socket` call stands alone.
- rights: no capability, no new privileges, no environment, no open file of ours; and it dies with its parent.

`calls` and `files` must hold, or nothing is run. It is one program as the user who runs sharpen, not a virtual
machine: for code that someone wrote to attack you, put sharpen itself into one.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from sharpen.errors import BoundaryError, Refused
from sharpen.verify import jail

Reason = Literal["ok", "error", "timeout", "memory", "output", "killed"]

OUTPUT_BYTES = 2**20  # chosen: a test's printout is a few kilobytes; what is longer is a loop
FILE_BYTES = 16 * 2**20  # chosen: per file, and for all files together
FILES, THREADS, OPEN_FILES = 1000, 64, 64  # chosen: far above what an exercise needs
_TICK_S = 0.02


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended. `exit_code` is negative where a signal ended it; `reason` is "ok" for 0 alone."""

    stdout: str
    stderr: str
    exit_code: int
    reason: Reason


def run_python(
    code: str,
    *,
    stdin: str = "",
    timeout_s: float = 5.0,
    memory_bytes: int = 512 * 2**20,
    allow_weak: bool = False,
) -> Outcome:
    """Run code in a fresh interpreter with the standard library alone, for at most `timeout_s` seconds.

    The exit code is the program's own word: code that calls `exit(0)` early is "ok" too. `allow_weak` runs it with the
    layers that this machine has, which off Linux are the limits alone.
    Raises: Refused where the machine has no sandbox; BoundaryError when it cannot be started.
    """
    held = layers()
    if not {"files", "calls"} <= held and not allow_weak:
        raise Refused(
            f"Unread code is not run here: the sandbox needs landlock and seccomp, and this {platform.system()} on "
            f"{platform.machine()} has {', '.join(sorted(held)) or 'nothing of it'}.",
            "use Linux 5.13 or newer on x86_64 or aarch64",
        )
    with tempfile.TemporaryDirectory(prefix="sharpen-sandbox-", ignore_cleanup_errors=True) as folder:
        room = Path(folder).resolve()
        work, program, given = room / "work", room / "main.py", room / "stdin"
        work.mkdir()
        program.write_bytes(code.encode(errors="replace"))
        given.write_bytes(stdin.encode(errors="replace"))
        limits = {
            "RLIMIT_CPU": int(timeout_s) + 1, "RLIMIT_AS": memory_bytes, "RLIMIT_FSIZE": FILE_BYTES,
            "RLIMIT_NOFILE": OPEN_FILES, "RLIMIT_CORE": 0,
        }  # fmt: skip
        plan: dict[str, object] = {"code": str(program), "work": str(work), "layers": sorted(held), "limits": limits}
        return _run(plan, given, work, timeout_s)


@cache
def layers() -> frozenset[str]:
    """Return which layers this machine offers: limits, rights, network, files, calls."""
    if sys.platform != "linux":
        return frozenset({"limits"}) if os.name == "posix" else frozenset()
    held = {"limits", "network", "rights"}
    if jail.landlock_version() > 0:
        held.add("files")
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    if platform.machine() in jail.ARCHITECTURES and actions.exists() and sys.maxsize > 2**32:
        held.add("calls")
    return frozenset(held)


def _run(plan: dict[str, object], given: Path, work: Path, timeout_s: float) -> Outcome:
    python = str(Path(sys.executable).resolve())
    listen, status = os.pipe()
    plan |= {"python": python, "library": f"{sys.base_prefix}/lib", "parent": os.getpid(), "status": status}
    command = [python, "-I", "-S", "-B", jail.__file__, json.dumps(plan)]
    try:
        with given.open("rb") as source:
            child = subprocess.Popen(
                command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=work, env={},
                pass_fds=(status,), start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        os.close(listen)
        raise BoundaryError(f"The sandbox cannot be started: {error}.") from error
    finally:
        os.close(status)
    try:
        texts, ended_by = _watch(child, work, timeout_s)
        with open(listen, "rb", closefd=False) as pipe:
            failure = pipe.read().decode(errors="replace")
    finally:
        _end(child)
        os.close(listen)
    if failure:
        raise BoundaryError(f"The sandbox cannot be set up: {failure}.")
    stdout, stderr = (text.decode(errors="replace") for text in texts)
    return Outcome(stdout, stderr, child.returncode, ended_by or _reason(child.returncode, stderr))


def _watch(child: subprocess.Popen[bytes], work: Path, timeout_s: float) -> tuple[list[bytes], Reason | None]:
    """Read what a child prints until it ends or breaks a bound; return the texts, and the bound that it broke."""
    texts = [bytearray(), bytearray()]
    ended_by: Reason | None = None
    deadline = time.monotonic() + timeout_s
    assert child.stdout is not None and child.stderr is not None
    with selectors.DefaultSelector() as ready, child.stdout, child.stderr:
        for stream, text in zip((child.stdout, child.stderr), texts, strict=True):
            ready.register(stream, selectors.EVENT_READ, text)
        while ended_by is None and (ready.get_map() or child.poll() is None):
            for key, _ in ready.select(_TICK_S) if ready.get_map() else ():
                piece = os.read(key.fd, 65_536)
                key.data.extend(piece)
                if not piece:
                    ready.unregister(key.fileobj)
            if any(len(text) > OUTPUT_BYTES for text in texts) or _is_too_much(work):
                ended_by = "output"
            elif time.monotonic() > deadline:
                ended_by = "timeout"
            elif _threads(child.pid) > THREADS:
                ended_by = "killed"
            elif not ready.get_map() and child.poll() is None:
                time.sleep(_TICK_S)  # it closed its outputs and goes on
        _end(child)
    return [bytes(text[:OUTPUT_BYTES]) for text in texts], ended_by


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole session, if any of it is left, and wait for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if child.returncode is None:  # not reaped yet, so that the number is still ours
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _threads(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0


def _is_too_much(work: Path) -> bool:
    """Whether the working folder holds too many files or bytes; looks at no more than it must."""
    count = size = 0
    for folder, names, files in os.walk(work):
        count += len(names) + len(files)
        for name in files[: FILES + 1]:
            with contextlib.suppress(OSError):
                size += os.lstat(f"{folder}/{name}").st_blocks * 512
        if count > FILES or size > FILE_BYTES:
            return True
    return False


def _reason(exit_code: int, stderr: str) -> Reason:
    if exit_code == 0:
        return "ok"
    if exit_code in (-signal.SIGXCPU, -signal.SIGKILL):
        return "timeout" if exit_code == -signal.SIGXCPU else "killed"
    last = stderr.rstrip().rpartition("\n")[2]
    if exit_code == -signal.SIGXFSZ or last.startswith("OSError: [Errno 27]"):
        return "output"
    if exit_code > 0 and last.startswith("MemoryError"):
        return "memory"
    return "killed" if exit_code < 0 else "error"
