"""The Cypher that the Ladybug and Neo4j backends share: every query there is, each fixed, all values as parameters.

In: nothing. Out: constants. Must not know a driver.

The one label and the one relationship type are ours; a kind is a property, compared with a parameter.
"""

PUT_NODES = (
    "UNWIND $rows AS row MERGE (n:SharpenNode {key: row.key}) "
    "SET n.tenant = row.tenant, n.kind = row.kind, n.body = row.body"
)
PUT_EDGES = (
    "UNWIND $rows AS row MATCH (a:SharpenNode {key: row.source}), (b:SharpenNode {key: row.target}) "
    "MERGE (a)-[e:SharpenEdge {kind: row.kind}]->(b) SET e.tenant = row.tenant, e.body = row.body"
)
GET_NODES = (
    "MATCH (n:SharpenNode) WHERE n.key IN $keys AND n.tenant = $tenant "
    "RETURN n.key AS key, n.tenant AS tenant, n.kind AS kind, n.body AS body"
)
PAGE = (
    "MATCH (n:SharpenNode) WHERE n.tenant = $tenant AND n.kind = $kind AND n.key > $after "
    "RETURN n.key AS key, n.tenant AS tenant, n.kind AS kind, n.body AS body ORDER BY key LIMIT $limit"
)
_EDGES = (
    "AND e.kind IN $kinds AND e.tenant = $tenant RETURN a.key AS source, b.key AS target, e.tenant AS tenant, "
    "e.kind AS kind, e.body AS body ORDER BY source, kind, target LIMIT $limit"
)
EDGES_OUT = f"MATCH (a:SharpenNode)-[e:SharpenEdge]->(b:SharpenNode) WHERE a.key IN $keys {_EDGES}"
EDGES_IN = f"MATCH (a:SharpenNode)-[e:SharpenEdge]->(b:SharpenNode) WHERE b.key IN $keys {_EDGES}"
REMOVE = "MATCH (n:SharpenNode) WHERE n.key IN $keys AND n.tenant = $tenant DETACH DELETE n"
COUNT_NODES = "MATCH (n:SharpenNode) WHERE n.tenant = $tenant RETURN count(n) AS total"
COUNT_EDGES = "MATCH (:SharpenNode)-[e:SharpenEdge]->(:SharpenNode) WHERE e.tenant = $tenant RETURN count(e) AS total"
