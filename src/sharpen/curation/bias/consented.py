"""The groups that contributors belong to and agreed to have kept with their feedback.

In: the store. Out: groups by source. Must not know what is done with them, or guess anybody's.
"""

from __future__ import annotations

import json

import sqlalchemy as sa

from sharpen.curation.bias.rows import Groups
from sharpen.records import Feedback
from sharpen.store import PAYLOADS, TABLES, Store

_SOME = '%"groups": ["%'  # of a body that names any: most name none, and a million need not be read


def consented(store: Store) -> Groups:
    """Return, per source, its group on each axis: what it said last. What was erased is not known any more."""
    table = TABLES[Feedback.prefix]
    query = sa.select(table.c.body, PAYLOADS.c.body).join(PAYLOADS, PAYLOADS.c.record_id == table.c.id)
    query = query.where(PAYLOADS.c.body.like(_SOME)).order_by(table.c.seq)
    found: dict[str, dict[str, str]] = {}
    with store.reading() as connection:
        for body, words in connection.execute(query):
            source = json.loads(body).get("source_id")
            if source is not None:
                told = (one.partition("=") for one in json.loads(words).get("groups", ()))
                found.setdefault(source, {}).update({axis: group for axis, _, group in told})
    return found
