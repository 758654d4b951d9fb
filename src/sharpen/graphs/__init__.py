"""Typed nodes and edges, kept in a graph database.

In: nodes and edges. Out: neighbours and paths. Must not know what the graph is about.
"""
