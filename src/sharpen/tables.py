"""The tables of the store: one shape for every kind of record, and what holds no records.

In: the kinds of records. Out: SQLAlchemy tables. Must not know who reads or writes them.
"""

from __future__ import annotations

import sqlalchemy as sa

from sharpen.records import RECORDS

metadata = sa.MetaData()

TABLES: dict[str, sa.Table] = {
    kind.prefix: sa.Table(
        kind.__name__.lower(),
        metadata,
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("subject", sa.String(128), index=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    for kind in RECORDS
}
PAYLOADS = sa.Table(
    "payload",
    metadata,
    sa.Column("record_id", sa.String(64), primary_key=True),
    sa.Column("body", sa.Text, nullable=True),  # None: erased
)
JOURNAL = sa.Table(
    "journal",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),  # 1, 2, 3, ... without a gap
    sa.Column("record_id", sa.String(64), nullable=False, unique=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("signature", sa.String(64), nullable=False),
)
ALERTS = sa.Table(
    "alert",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_s", sa.Float, nullable=False, index=True),  # seconds since the epoch: not to be sent before
    sa.Column("delivered_s", sa.Float, nullable=True),  # None: not yet
)
