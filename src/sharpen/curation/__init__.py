"""What the model is to learn, and the evidence for it.

In: traces, feedback and critiques. Out: an immutable training set. Must not know how it is trained on.
"""
