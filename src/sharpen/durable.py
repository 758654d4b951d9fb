"""Write a file that is there whole or not at all, even after a power cut.

In: a path and its text. Out: the file. Must not know what it says.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from sharpen.errors import StoreError


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by `text`, UTF-8; it is durable when this returns.

    Raises: StoreError when the disk refuses; what was there before stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        sync(path.parent)  # the new name is durable only with its folder
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"{path} cannot be written: {error}", "check the disk's space and the folder's rights"
        ) from error


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable. Raises: OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
