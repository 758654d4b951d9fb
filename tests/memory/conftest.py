"""Every vector store the tests can reach, each as a part of the conformance table."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sharpen.config import Config, parse
from sharpen.memory.vectors import VectorIndex
from sharpen.models.embeddings import Embedder
from tests.conformance import check_of, record
from tests.memory.embedders import WordEmbedder
from tests.memory.servers import Postgres, Server
from tests.memory.standins.pinecone import PineconeStandIn
from tests.memory.standins.weaviate import WeaviateStandIn

# part: (the configuration's word, how real, what to start)
PARTS: dict[str, tuple[str, str, Callable[[], Any] | None]] = {
    "chroma": ("chroma", "embedded", None),
    "chroma_server": (
        "chroma",
        "real server",
        lambda: Server("chroma", "run", "--path", "{folder}", "--host", "127.0.0.1", "--port", "{port}"),
    ),
    "qdrant": ("qdrant", "embedded", None),
    "pgvector": ("pgvector", "real server", Postgres),
    "milvus": ("milvus", "embedded", None),
    "milvus_server": (
        "milvus",
        "real server",
        lambda: Server("milvus-lite", "server", "--data-dir", "{folder}", "--host", "127.0.0.1", "--port", "{port}"),
    ),
    "weaviate_client_only": ("weaviate", "client only", WeaviateStandIn),
    "pinecone_client_only": ("pinecone", "client only", PineconeStandIn),
}


class Home:
    """A vector store that tests can open, close and start again. Each test has tenants of its own."""

    def __init__(self, part: str, folder: Path, server: Any) -> None:
        self.part = part
        self.server = server
        self.folder = folder
        self._run = uuid.uuid4().hex
        self._open: list[VectorIndex] = []

    @property
    def config(self) -> Config:
        url = self.server.url if self.server else ""
        return parse(
            {
                "home": str(self.folder),
                "memory": {"vectors": PARTS[self.part][0], "url": url, "tenant": f"us {self._run}", "recall": "hybrid"},
            }
        )

    def index(self, embedder: Embedder | None = None, tenant: str | None = None) -> VectorIndex:
        """Open the store; embedded stores are open once at a time."""
        name = None if tenant is None else f"{tenant} {self._run}"
        index = VectorIndex.of(self.config, embedder or WordEmbedder(), tenant=name)
        self._open.append(index)
        return index

    def close(self) -> None:
        while self._open:
            self._open.pop().close()

    def restart(self) -> None:
        """Close every client, and stop and start the server where there is one of ours."""
        self.close()
        if hasattr(self.server, "restart"):
            self.server.restart()


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], Any]]:
    """Start a part's server at its first use; all of them end with the session."""
    running: dict[str, Any] = {}

    def start(part: str) -> Any:
        make = PARTS[part][2]
        if make is not None and part not in running:
            running[part] = make()
        return running.get(part)

    yield start
    for server in running.values():
        with suppress(Exception):
            server.close()


@pytest.fixture(params=PARTS)
def home(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    server_of: Callable[[str], Any],
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Home]:
    part = str(request.param)
    if part == "pinecone_client_only":
        monkeypatch.setenv("SHARPEN_VECTORS_API_KEY", "a-key")
    shown = part.removesuffix("_client_only").replace("_server", " server")
    record(record_property, table="vector stores", part=shown, check=check_of(request), how=PARTS[part][1])
    place = Home(part, tmp_path, server_of(part))
    yield place
    place.close()
