"""What the evidence teaches: one small file per kind of evidence, each looking at one prompt at a time.

In: everything that was answered to a prompt, and said of it. Out: finds, each with its evidence. Must not know filters.
"""
