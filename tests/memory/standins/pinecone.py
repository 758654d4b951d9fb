"""The part of Pinecone's data plane over HTTP that the official client uses: upsert, query, delete, statistics."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.memory.standins.rows import Rows


def matches(wanted: dict[str, Any] | None, properties: dict[str, Any]) -> bool:
    """Apply a filter of equalities, as Pinecone's documentation defines it; anything else is an error."""
    for key, condition in (wanted or {}).items():
        [(operator, value)] = condition.items()
        assert operator == "$eq", f"the stand-in knows $eq only, not {operator}"
        if properties.get(key) != value:
            return False
    return True


class PineconeStandIn:
    def __init__(self) -> None:
        self.spaces: defaultdict[str, Rows] = defaultdict(Rows)
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                return

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
                status, said = stand_in.answer(self.path, body, self.headers.get("api-key", ""))
                text = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict[str, Any], key: str) -> tuple[int, Any]:
        if key != "a-key":
            return 401, {"code": 16, "message": "Invalid API key"}
        space = self.spaces[body.get("namespace", "")]
        if path == "/vectors/upsert":
            for one in body["vectors"]:
                space.put(one["id"], one["values"], one.get("metadata", {}))
            return 200, {"upsertedCount": len(body["vectors"])}
        if path == "/query":
            found = space.nearest(body["vector"], body["topK"], lambda own: matches(body.get("filter"), own))
            rows = [{"id": row_id, "score": cosine, "metadata": own} for row_id, cosine, own in found]
            return 200, {"matches": rows, "namespace": body.get("namespace", "")}
        if path == "/vectors/delete":
            gone = list(space.rows) if body.get("deleteAll") else body["ids"]
            for row_id in gone:
                space.rows.pop(row_id, None)
            return 200, {}
        if path == "/describe_index_stats":
            counts = {name: {"vectorCount": len(rows.rows)} for name, rows in self.spaces.items() if rows.rows}
            return 200, {"namespaces": counts, "totalVectorCount": sum(one["vectorCount"] for one in counts.values())}
        return 404, {"code": 5, "message": f"the stand-in has no {path}"}
