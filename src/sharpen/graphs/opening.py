"""From the configuration's line to an open graph.

In: the section `[graphs]`. Out: a GraphStore. Must not know what is kept in it.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from sharpen.config import GraphsSection
from sharpen.errors import ConfigError
from sharpen.graphs.graph_store import Backend, GraphStore

_SCHEMES = {
    "neo4j": ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"),
    "dgraph": ("dgraph",),
    "janusgraph": ("ws", "wss"),
}


def open_graph(settings: GraphsSection, home: Path, tenant: str = "local") -> GraphStore:
    """Open the configured graph. Raises: ConfigError, StoreError, MissingExtra."""
    return GraphStore(_backend(settings, home), tenant)


def _backend(settings: GraphsSection, home: Path) -> Backend:
    if settings.backend == "ladybug":
        from sharpen.graphs.ladybug import Ladybug

        return Ladybug(home / (settings.url or "knowledge.lbug"))
    address = urlsplit(settings.url)
    if address.scheme not in _SCHEMES[settings.backend] or not address.hostname:
        example = f"{_SCHEMES[settings.backend][0]}://HOST:PORT"
        raise ConfigError(f"[graphs] url = '{settings.url}' is no address of {settings.backend}.", f"url = '{example}'")
    if address.password:
        raise ConfigError(
            "[graphs] url holds a password, which would end up in logs.", f"put it into ${settings.password_env}"
        )
    user, password = address.username or "", os.environ.get(settings.password_env, "")
    plain = address._replace(netloc=address.netloc.rpartition("@")[2])
    if settings.backend == "neo4j":
        from sharpen.graphs.neo4j import Neo4j

        server = plain._replace(path="").geturl()
        return Neo4j(server, user or "neo4j", password, address.path.strip("/") or None)
    if settings.backend == "dgraph":
        from sharpen.graphs.dgraph import Dgraph

        return Dgraph(plain.netloc)
    from sharpen.graphs.janusgraph import JanusGraph

    return JanusGraph(plain.geturl(), user, password)
