"""The gate rehearsed on made-up answers, where the truth is known: how often it errs, sees, stops early, overclaims.

In: designs, true accuracies, a seed. Out: rates and counts. Must not know models or stores: claims, weighing, looks and
rule are the gate's own.
"""
