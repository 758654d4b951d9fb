"""Fairness as arithmetic: groups and their weights, counterfactual twins, dual updates, principles, balance.

In: plain values and arrays. Out: arrays and counts. Pure functions; must not know a model, a trainer or the store.
"""
