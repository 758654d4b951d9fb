"""Signs that a training set, or the evidence under it, serves some people or topics worse than others.

In: plain rows of exchanges and examples. Out: findings with intervals. Must not know where rows come from, or what
follows from a finding. Finding nothing proves nothing: a check sees only the facets that it is told of.
"""
