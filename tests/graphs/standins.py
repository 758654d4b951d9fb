"""Stand-ins for Dgraph and a Gremlin server: the official clients talk to them over real sockets.

They keep rows and know every constant query of the backend by its text; any other text is an error. So they prove what
the client sends and how the answer is read, and nothing about how the real engines understand the query.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

from sharpen.graphs import dgraph, janusgraph


class Rows:
    """What a graph database would keep."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, str]] = {}
        self.edges: dict[tuple[str, str, str], dict[str, str]] = {}
        self.texts: list[str] = []  # every query text that came in

    def put_edge(self, row: dict[str, str]) -> None:
        self.edges[row["source"], row["kind"], row["target"]] = row

    def page(self, tenant: str, kind: str, after: str, limit: int) -> list[dict[str, str]]:
        found = [n for n in self.nodes.values() if (n["tenant"], n["kind"]) == (tenant, kind) and n["key"] > after]
        return sorted(found, key=lambda node: node["key"])[:limit]

    def edges_of(self, end: str, tenant: str, keys: list[str], kinds: list[str], limit: int) -> list[dict[str, str]]:
        ours = [edge for edge in self.edges.values() if edge["tenant"] == tenant and edge["kind"] in kinds]
        found = [edge for edge in ours if edge[end] in keys]
        return sorted(found, key=lambda edge: (edge["source"], edge["kind"], edge["target"]))[:limit]

    def remove(self, tenant: str, keys: list[str]) -> None:
        gone = {key for key in keys if self.nodes.get(key, {}).get("tenant") == tenant}
        self.nodes = {key: node for key, node in self.nodes.items() if key not in gone}
        self.edges = {ends: edge for ends, edge in self.edges.items() if not gone & {ends[0], ends[2]}}

    def count(self, tenant: str) -> tuple[int, int]:
        return tuple(sum(row["tenant"] == tenant for row in rows.values()) for rows in (self.nodes, self.edges))


@contextmanager
def dgraph_stand_in() -> Iterator[tuple[str, Rows]]:
    import grpc
    from pydgraph.proto import api_pb2, api_pb2_grpc

    rows = Rows()

    def answer(query: str, values: dict[str, str], mutations: list[Any]) -> dict[str, Any]:
        keys = [value for name, value in values.items() if name.startswith("$k") and name[2:].isdigit() and value]
        kinds = [value for name, value in values.items() if name.startswith("$e")]
        tenant, limit = values.get("$tenant", ""), int(values.get("$limit", 0))
        if query == dgraph.FIND:
            (mutation,) = mutations
            said = json.loads(mutation.set_json)
            assert said.pop("uid") == "uid(v)"
            row = {name.removeprefix("sharpen."): value for name, value in said.items()}
            assert row["key"] == values["$key"]
            if row.pop("shape") == "node":
                rows.nodes[row["key"]] = row
            else:
                del row["key"]
                rows.put_edge(row)
            return {}
        if query == dgraph.GET_NODES:
            return {"found": [n for key, n in rows.nodes.items() if key in keys and n["tenant"] == tenant]}
        if query == dgraph.PAGE:
            return {"found": rows.page(tenant, values["$kind"], values["$after"], limit)}
        if query in (dgraph.EDGES_OUT, dgraph.EDGES_IN):
            end = "source" if query == dgraph.EDGES_OUT else "target"
            return {"found": rows.edges_of(end, tenant, keys, kinds, limit)}
        if query == dgraph.REMOVE:
            (mutation,) = mutations
            assert [blank["uid"] for blank in json.loads(mutation.delete_json)] == ["uid(v)", "uid(o)", "uid(i)"]
            rows.remove(tenant, keys)
            return {}
        assert query == dgraph.COUNT, f"unknown query {query}"
        nodes, edges = rows.count(tenant)
        return {"nodes": [{"total": nodes}], "edges": [{"total": edges}]}

    class StandIn(api_pb2_grpc.DgraphServicer):
        def Query(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
            rows.texts.append(request.query)
            found = answer(request.query, dict(request.vars), list(request.mutations))
            context_ = api_pb2.TxnContext(start_ts=1, keys=["k"] if request.mutations else [])
            return api_pb2.Response(json=json.dumps(found).encode(), txn=context_)

        def Alter(self, request: Any, context: Any) -> Any:  # noqa: N802
            assert request.schema == dgraph.SCHEMA
            return api_pb2.Payload(Data=b"{}")

        def CommitOrAbort(self, request: Any, context: Any) -> Any:  # noqa: N802
            return api_pb2.TxnContext(start_ts=1, commit_ts=2)

    limits = [("grpc.max_receive_message_length", 64 * 2**20), ("grpc.max_send_message_length", 64 * 2**20)]
    server = grpc.server(futures.ThreadPoolExecutor(2), options=limits)
    api_pb2_grpc.add_DgraphServicer_to_server(StandIn(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"dgraph://127.0.0.1:{port}", rows
    finally:
        server.stop(0).wait()


@contextmanager
def gremlin_stand_in() -> Iterator[tuple[str, Rows]]:
    from aiohttp import web

    rows = Rows()

    def answer(script: str, given: dict[str, Any]) -> list[Any]:
        tenant = given.get("tenant", "")
        if script == janusgraph.PUT_NODE:
            rows.nodes[given["key"]] = given
            return []
        if script == janusgraph.PUT_EDGE:
            rows.put_edge(given)
            return []
        if script == janusgraph.GET_NODES:
            return [n for key, n in rows.nodes.items() if key in given["keys"] and n["tenant"] == tenant]
        if script == janusgraph.PAGE:
            return rows.page(tenant, given["kind"], given["after"], given["most"])
        if script in (janusgraph.EDGES_OUT, janusgraph.EDGES_IN):
            end = "source" if script == janusgraph.EDGES_OUT else "target"
            return rows.edges_of(end, tenant, given["keys"], given["kinds"], given["most"])
        if script == janusgraph.REMOVE:
            rows.remove(tenant, given["keys"])
            return []
        assert script in (janusgraph.COUNT_NODES, janusgraph.COUNT_EDGES), f"unknown script {script}"
        return [rows.count(tenant)[script == janusgraph.COUNT_EDGES]]

    async def socket(request: web.Request) -> web.WebSocketResponse:
        wire = web.WebSocketResponse(max_msg_size=64 * 2**20)
        await wire.prepare(request)
        async for message in wire:
            data = message.data if isinstance(message.data, bytes) else message.data.encode()
            asked = json.loads(data[1 + data[0] :])
            arguments = _plain(asked["args"])
            rows.texts.append(arguments["gremlin"])
            try:
                status, found = {"code": 200, "message": ""}, answer(arguments["gremlin"], arguments["bindings"])
            except AssertionError as error:
                status, found = {"code": 597, "message": str(error)}, []
            empty = {"@type": "g:Map", "@value": []}
            reply = {
                "requestId": _plain(asked["requestId"]),
                "status": {**status, "attributes": empty},
                "result": {"data": _typed(found), "meta": empty},
            }
            await wire.send_str(json.dumps(reply))
        return wire

    loop, started, place = asyncio.new_event_loop(), threading.Event(), []

    async def start() -> None:
        app = web.Application()
        app.router.add_get("/gremlin", socket)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        place.append(site._server.sockets[0].getsockname()[1])
        started.set()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        loop.run_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield f"ws://127.0.0.1:{place[0]}/gremlin", rows
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _plain(value: Any) -> Any:
    """Read GraphSON 3."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict) and "@type" in value:
        inner = value["@value"]
        if value["@type"] == "g:Map":
            flat = _plain(inner)
            return dict(zip(flat[::2], flat[1::2], strict=True))
        return _plain(inner)
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def _typed(value: Any) -> Any:
    """Write GraphSON 3."""
    if isinstance(value, list):
        return {"@type": "g:List", "@value": [_typed(one) for one in value]}
    if isinstance(value, dict):
        return {"@type": "g:Map", "@value": [_typed(one) for pair in value.items() for one in pair]}
    return {"@type": "g:Int64", "@value": value} if isinstance(value, int) else value
