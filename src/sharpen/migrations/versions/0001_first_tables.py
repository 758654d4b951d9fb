"""First tables: one per record kind, and the payloads beside them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Written out, not taken from the code: a revision says what the schema was on the day it was made.
KINDS = (
    "modelversion", "deployment", "source", "trace", "feedback", "critique", "example", "snapshot", "trainingrun",
    "score", "verdict", "memory",
)  # fmt: skip


def upgrade() -> None:
    """Make the tables."""
    for kind in KINDS:
        op.create_table(
            kind,
            sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
            sa.Column("id", sa.String(64), nullable=False, unique=True),
            sa.Column("subject", sa.String(128), index=True),
            sa.Column("body", sa.Text, nullable=False),
        )
    op.create_table(
        "payload",
        sa.Column("record_id", sa.String(64), primary_key=True),
        sa.Column("body", sa.Text, nullable=True),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("payload")
    for kind in reversed(KINDS):
        op.drop_table(kind)
