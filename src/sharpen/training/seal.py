"""Checkpoints that some library pickles are read again only if we wrote them: their files are signed.

In: a folder and the deployment's home. Out: a seal in the folder, or a refusal. Must not know what the files hold.

Unpickling runs whatever the file says, so what somebody else could have put there must not be read. Our own checkpoints
hold no pickles and need no seal; DeepSpeed's do. Whoever can read the key can sign: it is in `home`, for its
owner only, and never in the folder that it signs.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from sharpen.durable import write_text
from sharpen.errors import Refused, StoreError

SEAL = "seal.hmac"
_KEY = "checkpoints.key"
_CHUNK_BYTES = 1 << 20


def sign(folder: Path, home: Path) -> None:
    """Seal every file of the folder as it is now. Raises: Refused when others may read the key; StoreError."""
    write_text(folder / SEAL, _signature(folder, _key(home)) + "\n")


def verify(folder: Path, home: Path) -> None:
    """Make sure that the folder is as it was sealed: nothing changed, added, removed or renamed.

    Raises: Refused when it is not, when it has no seal, or when others may read the key; StoreError.
    """
    try:
        given = (folder / SEAL).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"The checkpoint {folder} has no seal of ours: it is not read.", f"rm -r {folder}") from error
    if not hmac.compare_digest(given, _signature(folder, _key(home))):
        raise Refused(
            f"The checkpoint {folder} is not as it was sealed, or was sealed with another key: it is not read.",
            f"rm -r {folder}  starts the run again",
        )


def _signature(folder: Path, key: bytes) -> str:
    """Return HMAC-SHA256 over the names, sizes and contents of the files. A link is refused: it may point anywhere."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                raise Refused(f"The checkpoint {folder} holds a link, {name}.", f"rm {path}")
            if path.is_dir() or name == SEAL:
                continue
            # Each part has its length before it, or two files could be read as one.
            mac.update(f"{len(name.encode())}:{path.stat().st_size}:{name}".encode())
            with path.open("rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    mac.update(chunk)
    except OSError as error:
        raise StoreError(f"The checkpoint {folder} cannot be read: {error}", "check the files' rights") from error
    return mac.hexdigest()


def _key(home: Path) -> bytes:
    """Return the key, made at its first use; of two processes that make it at once, both get the same one."""
    path = home / _KEY
    try:
        if not path.exists():
            home.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{_KEY}.{os.getpid()}")
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as stream:
                stream.write(secrets.token_hex(32))
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)
            fresh.unlink()
        if path.stat().st_mode & 0o077:
            raise Refused(f"Others may read the key of the checkpoints, {path}.", f"chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"The key of the checkpoints, {path}, cannot be used: {error}", "check the file's rights"
        ) from error
