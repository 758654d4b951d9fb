"""Evaluation: a version answers a suite's cases, and every answer becomes a Score."""
