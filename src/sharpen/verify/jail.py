"""The small program that locks itself in and then becomes the untrusted one; `sandbox` starts it, nobody imports it.

In: a plan as JSON in its first argument. Out: the same process, now running the code; or one line on the status pipe.
Must not know anything but the standard library: it runs isolated, before any of ours is on the path.

Sources: seccomp(2), landlock(7), prctl(2), user_namespaces(7); numbers from the kernel's asm/unistd_64.h and
asm-generic/unistd.h.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
from pathlib import Path

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
LAST_KNOWN = 452  # what the kernel adds after fchmodat2 is "not there" until someone has read what it does
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Refused with EPERM. What is left out needs a capability, and there are none; or a file, and landlock guards those.
DENIED = {
    "x86_64": (
        41, 42, 57, 58, 29, 30, 64, 68, 240,  # socket connect fork vfork shmget shmat semget msgget mq_open
        90, 91, 92, 93, 94, 260, 268, 76, 132, 235, 261, 280,  # chmod chown truncate utime, which landlock lets pass
        188, 189, 190, 197, 198, 199,  # extended attributes
        101, 310, 311, 312, 129, 297, 200,  # ptrace process_vm_* kcmp *sigqueueinfo tkill
        272, 308, 165, 166, 155, 161, 321, 298, 248, 249, 250, 323,  # namespaces mounts bpf perf keys userfaultfd
        141, 142, 144, 203, 314, 251, 256, 279,  # priorities and pages of other processes
        300, 253, 294, 303, 304, 319, 112, 109,  # fanotify inotify handles memfd setsid setpgid
    ),
    "aarch64": (
        198, 203, 194, 196, 190, 186, 180,
        52, 53, 54, 55, 45, 88,
        5, 6, 7, 14, 15, 16,
        117, 270, 271, 272, 138, 240, 130,
        97, 268, 40, 39, 41, 51, 280, 241, 217, 218, 219, 282,
        140, 118, 119, 122, 274, 30, 238, 239,
        262, 26, 264, 265, 279, 157, 154,
    ),
}  # fmt: skip
DENIED_EVERYWHERE = (424, 425, 426, 427, 434, 438, 440, 447, 448, 452)  # pidfd io_uring memfd_secret mrelease fchmodat2
CLONE = {"x86_64": 56, "aarch64": 220}
KILLS = {"x86_64": (62, 234), "aarch64": (129, 131)}  # kill, tgkill: only oneself
PRLIMIT = {"x86_64": 302, "aarch64": 261}
PRCTL = {"x86_64": 157, "aarch64": 167}
CLONE3 = 435
CLONE_THREAD = 0x00010000

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
_EXECUTE, _WRITE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_FS_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # ABI: all rights it handles
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_LOADERS = ("lib*/ld-linux*.so*", "lib*/*/ld-linux*.so*", "lib*/ld-musl*.so*")

libc = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """Return the kernel's landlock ABI, 0 where there is none."""
    return max(0, int(libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)))


def seccomp_program(machine: str, pid: int) -> bytes:
    """Return the filter, as BPF instructions, for a process that may have threads, but no children and no sockets."""
    lines: list[bytes] = []

    def say(code: int, value: int, if_true: int = 0, if_false: int = 0) -> None:
        lines.append(struct.pack("HBBI", code, if_true, if_false, value))

    def load(offset: int) -> None:
        say(0x20, offset)  # BPF_LD | BPF_W | BPF_ABS

    def answer(verdict: int) -> None:
        say(0x06, verdict)  # BPF_RET

    def only(number: int, test: int, values: tuple[int, ...]) -> None:
        """Let a call pass only when its first argument passes `test` against one of the values."""
        say(0x15, number, 0, len(values) + 3)
        load(16)  # the lower half of the first argument: process ids, flags and options fit
        for at, value in enumerate(values):
            say(test, value, len(values) - at, 0)
        answer(EPERM)
        answer(ALLOW)

    load(4)
    say(0x15, ARCHITECTURES[machine], 1, 0)
    answer(KILL)  # a 32-bit call would have other numbers
    load(0)
    say(0x25, LAST_KNOWN, 0, 1)  # BPF_JGT: newer calls, and x86's second numbering
    answer(ENOSYS)
    say(0x15, CLONE3, 0, 1)
    answer(ENOSYS)  # its flags lie in memory, which a filter cannot read; the C library then falls back to clone
    for number in DENIED[machine] + DENIED_EVERYWHERE:
        say(0x15, number, 0, 1)
        answer(EPERM)
    only(CLONE[machine], 0x45, (CLONE_THREAD,))  # BPF_JSET
    for number in KILLS[machine]:
        only(number, 0x15, (pid,))
    only(PRLIMIT[machine], 0x15, (0, pid))
    say(0x15, PRCTL[machine], 0, 3)
    load(16)
    say(0x15, _PR_SET_PDEATHSIG, 0, 1)
    answer(EPERM)
    answer(ALLOW)
    return b"".join(lines)


def bond(parent: int) -> None:
    """Die when the parent dies."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def limit(limits: dict[str, int]) -> None:
    """Set the kernel's per-process limits; they cannot be raised again."""
    for name, wanted in limits.items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        # One more for the hard limit: at the soft one of CPU time the signal tells why the program ended.
        soft, most = (
            (wanted, wanted + 1) if hard == resource.RLIM_INFINITY else (min(wanted, hard), min(wanted + 1, hard))
        )
        resource.setrlimit(number, (soft, most))


def leave_the_network() -> bool:
    """Move into a network of one's own, without any interface; False where the kernel forbids it."""
    return int(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC)) == 0


def drop_capabilities() -> None:
    """Give up what root could do: none comes back at the exec that follows."""
    for capability in range(64):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


def lock_files(python: str, library: str, code: str, work: str) -> None:
    """Allow the interpreter, its libraries, the code, and the working folder: no other file can be opened."""
    version = landlock_version()
    handled = _FS_RIGHTS[max(abi for abi in _FS_RIGHTS if abi <= version)]
    ports = 0b11 if version >= 4 else 0
    scopes = 0b11 if version >= 6 else 0
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    attributes = struct.pack("QQQ", handled, ports, scopes)
    ruleset = libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    rights = dict.fromkeys((library, *_LIBRARIES), _READ_FILE | _READ_DIR)
    rights |= dict.fromkeys((code, "/etc/ld.so.cache", "/dev/urandom", "/dev/zero"), _READ_FILE)
    rights |= {str(path): _READ_FILE | _EXECUTE for pattern in _LOADERS for path in Path("/").glob(pattern)}
    rights |= {python: _READ_FILE | _EXECUTE, "/dev/null": _READ_FILE | _WRITE, work: handled & ~_EXECUTE}
    for path, allowed in rights.items():
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        rule = struct.pack("=Qi", allowed & handled, place)
        if libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0):
            raise OSError(ctypes.get_errno(), f"landlock_add_rule {path}")
        os.close(place)
    if libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0):
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")


def filter_calls(machine: str) -> None:
    """Install the seccomp filter. It is kept over the exec and cannot be taken off."""
    program = seccomp_program(machine, os.getpid())
    lines = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(lines))
    if libc.prctl(_PR_SET_SECCOMP, 2, header, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")


def main() -> None:
    """Apply every layer of the plan and become the program; a failure goes to the status pipe."""
    plan = json.loads(sys.argv[1])
    os.set_inheritable(plan["status"], False)
    try:
        limit(plan["limits"])
        if "rights" in plan["layers"]:
            bond(plan["parent"])
        if "network" in plan["layers"]:
            leave_the_network()
        if "rights" in plan["layers"]:
            drop_capabilities()
        if "files" in plan["layers"]:
            lock_files(plan["python"], plan["library"], plan["code"], plan["work"])
        if "calls" in plan["layers"]:
            filter_calls(platform.machine())
        os.execv(plan["python"], [plan["python"], "-I", "-S", "-B", "-X", "utf8", plan["code"]])  # noqa: S606 - no shell
    except Exception as error:  # the parent must hear of any failure, whatever it is
        os.write(plan["status"], f"{type(error).__name__}: {error}".encode())
        os._exit(1)


if __name__ == "__main__":
    main()
