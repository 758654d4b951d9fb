"""llama.cpp's server as a child process: `python -m sharpen.models.llamacpp_child SETTINGS`.

In: settings as JSON on the command line. Out: the server's address as one line on stdout, then the server, until stdin
ends. Must not know anything else: what C++ aborts on ends this process and no other.
"""

from __future__ import annotations

import json
import sys

from sharpen.children import die_with_parent
from sharpen.plugins import part


def main(settings: str) -> int:
    """Start the server, say where it is, and wait for the end of stdin. Returns 1 when the model cannot be loaded."""
    die_with_parent()
    told = json.loads(settings)
    xllamacpp = part("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = told["model"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = told["slots"]
    params.n_ctx = told["slots"] * told["context_tokens"]
    params.cache_ram_mib = 0
    params.warmup = False
    params.ui = False
    params.verbosity = -1
    if told["threads"]:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = told["threads"]
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(file, 0.0) for file in told["adapters"]]
    try:
        server = xllamacpp.Server(params)
    except Exception as error:  # it raises what C++ threw
        print(json.dumps({"error": str(error)}), flush=True)  # noqa: T201 - stdout is the channel to the parent
        return 1
    print(json.dumps({"address": server.listening_address}), flush=True)  # noqa: T201 - the same
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
