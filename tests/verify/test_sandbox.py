"""Each test is an attack, tried for real; what the sandbox promises is what is asserted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.errors import BoundaryError, Refused
from sharpen.verify import sandbox
from sharpen.verify.sandbox import Outcome, layers, run_python

ALL = {"limits", "rights", "network", "files", "calls"}


def attack(code: str, **options: object) -> Outcome:
    return run_python(textwrap.dedent(code), **options)  # type: ignore[arg-type]


def test_code_runs_and_says_what_it_printed_and_how_it_ended() -> None:
    assert run_python("print(int(input()) * 2)", stdin="21\n") == Outcome("42\n", "", 0, "ok")
    failed = run_python("raise ValueError('nine')")
    assert (failed.reason, failed.exit_code) == ("error", 1)
    assert failed.stderr.endswith("ValueError: nine\n")
    assert run_python("raise SystemExit(3)").exit_code == 3
    assert run_python("print('Grüße 🙂')").stdout == "Grüße 🙂\n"


def test_code_that_is_no_python_is_an_error_and_no_crash() -> None:
    for code in ("def", "\x00", "\ud800", "print('" + "x" * 300_000 + "'"):
        assert run_python(code).reason == "error"


def test_the_standard_library_works_inside() -> None:
    done = attack("""
        import asyncio, collections, dataclasses, datetime, decimal, json, math, random, re, sqlite3, threading
        with open("notes.txt", "w") as file:
            file.write("kept for a moment")
        with open("notes.txt") as file:
            assert file.read() == "kept for a moment"
        asyncio.run(asyncio.sleep(0))
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        sqlite3.connect(":memory:").execute("select 1")
    """)
    assert (done.stdout, done.stderr, done.reason) == ("from a thread\n", "", "ok")


def test_a_fork_bomb_does_not_start() -> None:
    for call in ("os.fork()", "subprocess.Popen(['/bin/true'])", "multiprocessing.Process(target=print).start()"):
        done = attack(f"import multiprocessing, os, subprocess\nwhile True: {call}")
        assert done.reason == "error"
        assert "PermissionError" in done.stderr


def test_raw_clone_calls_make_no_process_either() -> None:
    done = attack("""
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        for number in (56, 57, 58, 435):
            result = libc.syscall(number, 17, 0, 0, 0, 0)
            if result == 0:
                print("a child", flush=True)
                libc._exit(0)
            print(number, result, ctypes.get_errno())
    """)
    assert "a child" not in done.stdout


def test_threads_without_end_are_stopped() -> None:
    done = attack("""
        import threading, time
        threading.stack_size(65536)
        while True:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    """)
    assert done.reason == "killed"


@pytest.mark.parametrize(
    "code", ["bytearray(10**11)", "hog = []\nwhile True: hog.append(bytearray(10**6))", "'a' * 10**12"]
)
def test_a_memory_hog_ends_at_its_limit(code: str) -> None:
    assert run_python(code, memory_bytes=256 * 2**20, timeout_s=20).reason == "memory"


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time\ntime.sleep(60)",
        "import os\nos.close(1)\nos.close(2)\nwhile True: pass",
        "import hashlib, threading\ndef burn():\n    while True: hashlib.sha256(bytes(10**7))\n"
        "for _ in range(8): threading.Thread(target=burn).start()",
        "import signal, time\nfor s in range(1, 31):\n    if s not in (9, 19): signal.signal(s, signal.SIG_IGN)\n"
        "while True: time.sleep(1)",
    ],
    ids=["loop", "sleep", "closed outputs", "many at once", "deaf to signals"],
)
def test_what_does_not_end_is_ended(code: str) -> None:
    start = time.monotonic()
    assert run_python(code, timeout_s=1).reason == "timeout"
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_is_cut(stream: str) -> None:
    done = run_python(f"import sys\nwhile True: print('x' * 1000, file=sys.{stream})")
    assert done.reason == "output"
    assert len(getattr(done, stream)) == sandbox.OUTPUT_BYTES


@pytest.mark.parametrize(
    "code",
    [
        "file = open('big', 'wb')\nwhile True: file.write(bytes(10**6))",
        "for i in range(10**6): open(str(i), 'wb').write(bytes(10**5))",
        "for i in range(10**6): open(str(i), 'w').close()",
        "import os\nfor i in range(10**6): os.mkdir(str(i))",
    ],
    ids=["one big file", "many files", "empty files", "folders"],
)
def test_the_disk_is_not_filled(code: str) -> None:
    assert run_python(code, timeout_s=20).reason == "output"


def test_there_is_no_network_not_even_to_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        port = server.getsockname()[1]
        for call in (
            f"socket.create_connection(('127.0.0.1', {port}))",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
            "socket.socket(socket.AF_UNIX).connect('/run/docker.sock')",
            f"urllib.request.urlopen('http://127.0.0.1:{port}')",
        ):
            done = run_python(f"import socket, urllib.request\n{call}")
            assert done.reason == "error"
            assert "not permitted" in done.stderr
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_the_filter_the_empty_network_alone_keeps_it_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "layers", lambda: frozenset(ALL - {"calls"}))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)"
        assert run_python(code, allow_weak=True).reason == "error"


def test_without_a_network_of_its_own_the_filter_alone_keeps_it_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "layers", lambda: frozenset(ALL - {"network"}))
    assert "not permitted" in run_python("import socket\nsocket.socket()").stderr


def test_nothing_of_the_users_can_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the password")
    for place in ("/etc/passwd", "/etc/shadow", str(secret), "/proc/self/environ", f"/proc/{os.getpid()}/environ"):
        done = run_python(f"print(open({place!r}).read())")
        assert done.reason == "error"
        assert "Permission" in done.stderr or "No such file" in done.stderr
    for folder in (str(Path.home()), str(tmp_path), "/", "/tmp", "/proc"):
        assert "Permission" in run_python(f"import os\nprint(os.listdir({folder!r}))").stderr


def test_nothing_can_be_written_changed_or_removed_outside(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    mine.chmod(0o640)
    before = mine.stat()
    for call in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"open({str(mine)!r}, 'w')",
        f"os.truncate({str(mine)!r}, 0)",
        f"os.remove({str(mine)!r})",
        f"os.chmod({str(mine)!r}, 0o777)",
        f"os.utime({str(mine)!r}, (0, 0))",
        f"os.link({str(mine)!r}, 'stolen')",
        f"os.symlink({str(mine)!r}, 'door') or open('door').read()",
        f"os.rename({str(mine)!r}, 'moved')",
        f"os.setxattr({str(mine)!r}, 'user.x', b'y')",
        "open('/dev/shm/left', 'w')",
    ):
        done = run_python(f"import os\n{call}")
        assert done.reason == "error", call
    after = mine.stat()
    assert mine.read_text() == "mine"
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_mode, before.st_mtime_ns, before.st_nlink)
    assert list(tmp_path.iterdir()) == [mine]


def test_no_other_process_can_be_touched() -> None:
    me = os.getpid()
    before = os.nice(0)
    for call in (
        "os.kill(os.getppid(), 9)",
        "os.kill(-1, 9)",
        f"os.kill({me}, 9)",
        f"os.setpriority(os.PRIO_PROCESS, {me}, 19)",
        f"os.sched_setaffinity({me}, {{0}})",
        f"resource.prlimit({me}, resource.RLIMIT_NOFILE, (3, 3))",
        f"os.pidfd_open({me})",
    ):
        done = run_python(f"import os, resource\n{call}")
        assert (done.reason, done.exit_code) == ("error", 1), call
        assert "not permitted" in done.stderr
    assert os.nice(0) == before
    assert run_python("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)").exit_code == -signal.SIGTERM


def test_limits_cannot_be_raised_nor_the_bond_cut() -> None:
    done = attack("""
        import ctypes, resource
        for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE"):
            try:
                resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                print(name, "was raised")
            except (ValueError, PermissionError):
                pass
        libc = ctypes.CDLL(None)
        print(libc.prctl(1, 0, 0, 0, 0), libc.setsid(), libc.setpgid(0, 0))
    """)
    assert done.stdout == "-1 -1 -1\n"


def test_another_program_cannot_be_started_in_its_place() -> None:
    assert "Permission" in run_python("import os\nos.execv('/bin/sh', ['sh', '-c', 'id'])").stderr
    again = "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'open(\"/etc/passwd\")'])"
    assert "Permission" in run_python(again).stderr


def test_no_secret_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPEN_API_KEY", "hunter2")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        done = attack("""
            import os
            print(sorted(os.environ), os.getcwd().endswith("work"), os.listdir("."))
            print([fd for fd in range(3, 64) if os.path.exists(f"/dev/fd/{fd}")])
            for fd in range(3, 64):
                try:
                    os.write(fd, b"hello")
                    print("wrote to", fd)
                except OSError:
                    pass
        """)
    finally:
        os.close(reader)
        os.close(writer)
    assert "hunter2" not in done.stdout
    assert done.stdout.splitlines() == ["['LC_CTYPE'] True []", "[]"]


def test_a_huge_input_is_given_whole_and_may_be_left_unread() -> None:
    text = "x" * 20_000_000
    assert run_python("import sys\nprint(len(sys.stdin.read()))", stdin=text).stdout == "20000000\n"
    assert run_python("print('no need')", stdin=text).reason == "ok"


def test_it_dies_with_whoever_started_it(tmp_path: Path) -> None:
    starter = "from sharpen.verify.sandbox import run_python as run\nrun('import time\\ntime.sleep(60)', timeout_s=60)"
    parent = subprocess.Popen([sys.executable, "-c", starter], env=os.environ | {"TMPDIR": str(tmp_path)})
    assert _until(lambda: bool(_sandboxed(tmp_path)))
    parent.kill()
    parent.wait()
    assert _until(lambda: not _sandboxed(tmp_path))


def _sandboxed(folder: Path) -> list[str]:
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                line = (place / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line and "jail.py" not in line and line.rstrip("\0").endswith("main.py"):
                found.append(line)
    return found


def _until(condition: object, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_python("import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').write('x')")
    run_python("while True: pass", timeout_s=0.5)
    assert list(tmp_path.iterdir()) == []
    assert _sandboxed(tmp_path) == []


def test_many_threads_may_run_code_at_once() -> None:
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = run_python(f"print({number} ** 2)", timeout_s=20).stdout

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"{number**2}\n" for number in range(12)}


@pytest.mark.parametrize("missing", ["calls", "files"])
def test_a_machine_without_the_layers_runs_nothing(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "layers", lambda: frozenset(ALL - {missing}))
    with pytest.raises(Refused, match="landlock and seccomp"):
        run_python("print(1)")
    assert run_python("print(1)", allow_weak=True).stdout == "1\n"


def test_off_linux_there_are_only_limits_and_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    layers.cache_clear()
    try:
        assert layers() == {"limits"}
        with pytest.raises(Refused, match="sandbox needs"):
            run_python("print(1)")
    finally:
        monkeypatch.undo()
        layers.cache_clear()


def test_a_layer_that_cannot_be_applied_is_an_error_and_the_code_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "OPEN_FILES", "many")  # no limit that could be set
    with pytest.raises(BoundaryError, match="cannot be set up"):
        run_python("print('ran')")


@settings(max_examples=15, deadline=None)
@given(st.text(st.characters(), max_size=60))
def test_any_text_as_code_ends_in_an_outcome(code: str) -> None:
    assert run_python(code, timeout_s=20).reason in ("ok", "error")
