"""The HTTP face: the OpenAI routes, feedback, health."""
