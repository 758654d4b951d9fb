"""Protocol stand-ins for servers that cannot be had here. The official clients talk to them; a test that uses one is
named client_only. They keep rows in memory and compare every vector."""
