"""Training: a Snapshot becomes a ModelVersion, in a child process that cannot hurt the gateway or the loop."""
