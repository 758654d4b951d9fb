"""`sharpen serve`: a process that listens until it is told to stop.

In: the configuration. Out: a running server, and one line that says where. Must not know the routes.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator

import uvicorn

from sharpen.config import Config, GatewaySection
from sharpen.errors import ConfigError
from sharpen.gateway.app import create_app
from sharpen.gateway.auth import key_for
from sharpen.models.engine import Engine
from sharpen.store import Store

_DRAIN_S = 30  # chosen: long enough for the longest reply of a small model, shorter than an orchestrator's patience


def serve(config: Config, *, engine: Engine | None = None, announce: Callable[[str], None] | None = None) -> None:
    """Answer requests until SIGINT or SIGTERM, then finish those on their way.

    What can be wrong is found before the weights are loaded. `announce` gets the ready line; it is printed otherwise.
    Raises: Refused, ConfigError when the port is taken or the certificate unfit, NotFound before `sharpen init`,
    StoreError, EngineError.
    """
    key_for(config.gateway)
    certificate, key_file = _tls_files(config.gateway)
    listener = _listen(config.gateway.host, config.gateway.port)
    with _ended_by_signals(), contextlib.closing(listener), contextlib.closing(Store.open(config.store_url)) as store:
        store.champion()
        with contextlib.closing(engine or _open_engine(config)) as loaded:
            settings = uvicorn.Config(
                create_app(config, store, loaded),
                log_level="warning",
                access_log=False,
                server_header=False,
                ssl_certfile=certificate,
                ssl_keyfile=key_file,
                timeout_graceful_shutdown=_DRAIN_S,
            )
            host = f"[{config.gateway.host}]" if ":" in config.gateway.host else config.gateway.host
            line = f"sharpen answers at {'https' if certificate else 'http'}://{host}:{listener.getsockname()[1]}/v1"
            _Server(settings, lambda: (announce or _print)(line)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, settings: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(settings)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _tls_files(settings: GatewaySection) -> tuple[str | None, str | None]:
    """Return the files of the certificate and its key, or None twice. Raises: ConfigError when they do not fit."""
    files = settings.tls_certificate, settings.tls_key
    if not any(files):
        return None, None
    remedy = "name both PEM files, `tls_certificate` and `tls_key`, under [gateway]"
    if not all(files):
        raise ConfigError("A certificate needs its key, and a key its certificate.", remedy)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files, password="")  # never wait for one to be typed
    except (OSError, ValueError) as error:
        raise ConfigError(f"The certificate cannot be used: {error}.", remedy) from error
    return files


def _listen(host: str, port: int) -> socket.socket:
    """Take the port now, so that nobody else can between the check and the use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"Port {port} on {host} cannot be used: {error.strerror or error}.",
            f"set `port = {port + 1 if port < 65535 else port - 1}` under [gateway], or stop what listens there",
        ) from error
    return listener


def _open_engine(config: Config) -> Engine:
    from sharpen.models.opening import open_engine

    return open_engine(config)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the block in order: while weights load, and when uvicorn raises them once more."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = {sort: signal.signal(sort, end) for sort in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        for sort, handler in before.items():
            signal.signal(sort, handler)


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
