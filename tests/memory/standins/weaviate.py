"""The part of Weaviate over REST (schema) and gRPC (objects) that the official client uses."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
from google.protobuf.json_format import MessageToDict
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    health_weaviate_pb2,
    properties_pb2,
    search_get_pb2,
    weaviate_pb2_grpc,
)

from tests.memory.standins.rows import Rows

VERSION = "1.30.0"
F = base_pb2.Filters
DEFAULTS: dict[str, Any] = {
    "invertedIndexConfig": {
        "bm25": {"b": 0.75, "k1": 1.2},
        "cleanupIntervalSeconds": 60,
        "stopwords": {"preset": "en", "additions": None, "removals": None},
    },
    "replicationConfig": {"factor": 1, "asyncEnabled": False},
    "shardingConfig": {
        "virtualPerPhysical": 128, "desiredCount": 1, "actualCount": 1, "desiredVirtualCount": 128,
        "actualVirtualCount": 128, "key": "_id", "strategy": "hash", "function": "murmur3",
    },
}  # fmt: skip


HNSW: dict[str, Any] = {
    "cleanupIntervalSeconds": 300, "dynamicEfMin": 100, "dynamicEfMax": 500, "dynamicEfFactor": 8, "ef": -1,
    "efConstruction": 128, "flatSearchCutoff": 40000, "maxConnections": 32, "skip": False,
    "vectorCacheMaxObjects": 10**12, "distance": "cosine",
}  # fmt: skip


def completed(asked: dict[str, Any]) -> dict[str, Any]:
    """Return a collection's schema as the server says it: with what it took for what was left open."""
    said = DEFAULTS | asked
    said["properties"] = [{"indexFilterable": True, "indexSearchable": True} | one for one in asked["properties"]]
    said["invertedIndexConfig"] = DEFAULTS["invertedIndexConfig"] | asked.get("invertedIndexConfig", {})
    for one in (said, *said.get("vectorConfig", {}).values()):
        if "vectorIndexConfig" in one:
            one["vectorIndexConfig"] = HNSW | one["vectorIndexConfig"]
    return said


def matches(wanted: Any, row_id: str, properties: dict[str, Any]) -> bool:
    """Apply a filter: and, equal, and 'id is one of'; anything else is an error."""
    if wanted.operator == F.OPERATOR_AND:
        return all(matches(one, row_id, properties) for one in wanted.filters)
    own = row_id if wanted.target.property == "_id" else properties.get(wanted.target.property)
    if wanted.operator == F.OPERATOR_EQUAL:
        return bool(own == getattr(wanted, wanted.WhichOneof("test_value")))
    assert wanted.operator == F.OPERATOR_CONTAINS_ANY, f"the stand-in has no operator {wanted.operator}"
    return own in wanted.value_text_array.values


def vector_of(message: Any) -> np.ndarray:
    """Read a vector from wherever this version of the protocol puts it."""
    if message.vectors:
        return np.frombuffer(message.vectors[0].vector_bytes, dtype="<f4")
    if not message.vector_bytes and hasattr(message, "near_vector"):
        return vector_of(message.near_vector)
    return np.frombuffer(message.vector_bytes, dtype="<f4")


class _Objects(weaviate_pb2_grpc.WeaviateServicer):
    def __init__(self, collections: defaultdict[str, Rows]) -> None:
        self._collections = collections

    def BatchObjects(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's names, as below
        for one in request.objects:
            properties = MessageToDict(one.properties.non_ref_properties)
            self._collections[one.collection].put(one.uuid, vector_of(one), properties)
        return batch_pb2.BatchObjectsReply()

    def BatchDelete(self, request: Any, context: Any) -> Any:  # noqa: N802
        rows = self._collections[request.collection].rows
        gone = [row_id for row_id, row in rows.items() if matches(request.filters, row_id, row.properties)]
        for row_id in gone:
            del rows[row_id]
        return batch_delete_pb2.BatchDeleteReply(matches=len(gone), successful=len(gone))

    def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        rows = self._collections[request.collection]
        by_place = {id(row.properties): row_id for row_id, row in rows.rows.items()}
        is_wanted = (
            (lambda own: matches(request.filters, by_place[id(own)], own))
            if request.HasField("filters")
            else lambda own: True
        )
        # A hybrid search is answered by its vectors alone: the words' half is Weaviate's own.
        is_hybrid = request.HasField("hybrid_search")
        asked = vector_of(request.hybrid_search if is_hybrid else request.near_vector)
        found = rows.nearest(asked, request.limit, is_wanted)
        results = []
        for row_id, cosine, own in found:
            fields = {
                name: properties_pb2.Value(bool_value=value)
                if isinstance(value, bool)
                else properties_pb2.Value(text_value=value)
                for name, value in own.items()
            }
            results.append(
                search_get_pb2.SearchResult(
                    properties=search_get_pb2.PropertiesResult(non_ref_props=properties_pb2.Properties(fields=fields)),
                    metadata=search_get_pb2.MetadataResult(
                        id=row_id, distance=1 - cosine, distance_present=True, score=cosine, score_present=True
                    ),
                )
            )
        return search_get_pb2.SearchReply(results=results)

    def Aggregate(self, request: Any, context: Any) -> Any:  # noqa: N802
        count = len(self._collections[request.collection].rows)
        return aggregate_pb2.AggregateReply(single_result=aggregate_pb2.AggregateReply.Single(objects_count=count))


def _health(request: Any, context: Any) -> Any:
    return health_weaviate_pb2.WeaviateHealthCheckResponse(
        status=health_weaviate_pb2.WeaviateHealthCheckResponse.SERVING
    )


class WeaviateStandIn:
    def __init__(self) -> None:
        self.collections: defaultdict[str, Rows] = defaultdict(Rows)
        self.schema: dict[str, Any] = {}
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                return

            def _answer(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
                status, said = stand_in.answer(self.command, self.path, body)
                text = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = _answer

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self._grpc = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 1 << 27)])
        weaviate_pb2_grpc.add_WeaviateServicer_to_server(_Objects(self.collections), self._grpc)
        check = grpc.unary_unary_rpc_method_handler(
            _health,
            request_deserializer=health_weaviate_pb2.WeaviateHealthCheckRequest.FromString,
            response_serializer=health_weaviate_pb2.WeaviateHealthCheckResponse.SerializeToString,
        )
        self._grpc.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check})]
        )
        port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}?grpc_port={port}"

    def close(self) -> None:
        self._grpc.stop(0)
        self._http.shutdown()
        self._http.server_close()

    def answer(self, verb: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        name = path.removeprefix("/v1/schema").strip("/")
        if path == "/v1/meta":
            return 200, {"version": VERSION, "grpcMaxMessageSize": 1 << 27}
        if path.startswith("/v1/.well-known"):
            return (200, {}) if path.endswith("ready") else (404, {})
        if path == "/v1/nodes":
            return 200, {"nodes": [{"status": "HEALTHY", "batchStats": {"queueLength": 0, "ratePerSecond": 0}}]}
        if path == "/v1/schema" and verb == "POST":
            self.schema[body["class"]] = completed(body)
            return 200, self.schema[body["class"]]
        if path == "/v1/schema" and verb == "GET":
            return 200, {"classes": list(self.schema.values())}
        if path.startswith("/v1/schema") and verb == "GET":
            return (200, self.schema[name]) if name in self.schema else (404, {})
        if path.startswith("/v1/schema") and verb == "DELETE":
            self.schema.pop(name, None)
            self.collections.pop(name, None)
            return 200, {}
        return 404, {"error": [{"message": f"the stand-in has no {verb} {path}"}]}
