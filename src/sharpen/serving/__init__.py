"""Which version answers: the router."""
