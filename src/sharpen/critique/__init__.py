"""Critique: the model looks at its own answers, and finds better ones where it can."""
