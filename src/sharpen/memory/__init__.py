"""What was learned before, ready to be put into a prompt.

In: accepted answers. Out: the ones that help with the prompt at hand. Must not know the stage that asks.
"""
