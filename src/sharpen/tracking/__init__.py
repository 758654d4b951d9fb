"""Who else is told: copies of our records in other people's tools.

In: records. Out: nothing that the loop relies on. Must not know the loop.
"""
