"""Bad input for the gateway, as data: one JSON object a line. `make_corpus.py` wrote it."""
