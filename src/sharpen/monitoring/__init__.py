"""Monitoring: what live traffic says about the versions that answer it, counted, charted and told."""
