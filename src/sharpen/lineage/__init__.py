"""What came from what.

In: an id. Out: the records it rests on. Must not know how they were made.
"""
