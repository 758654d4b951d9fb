"""What happens when memory is used up: it is recognised, and bounded where the configuration says so.

In: an error, or a number of bytes. Out: whether the error means that memory ran out. Must not know what was computed.
"""

from __future__ import annotations

import resource

_SAID = (
    "out of memory",  # CUDA's, cuBLAS's and torch.OutOfMemoryError's words
    "can't allocate memory",  # torch's allocator on a CPU
    "not enough memory",  # the same, in older words
    "bad_alloc",  # C++
    "could not create a memory",  # oneDNN
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def bound(size_bytes: int) -> None:
    """Have the kernel refuse this process more than that much memory of its own; 0 is no bound.

    Source: getrlimit(2), RLIMIT_DATA: private writable memory, since Linux 4.7. RLIMIT_AS would count the libraries and
    what a GPU's driver merely reserves.
    """
    if size_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (size_bytes, size_bytes))


def ran_out(error: BaseException) -> bool:
    """Tell whether an error means that there was no memory left."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)
    )
