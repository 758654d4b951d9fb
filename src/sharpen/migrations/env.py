"""Alembic's entry: run the revisions on the connection that `upgrade` hands over."""

from alembic import context

from sharpen.store import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
context.run_migrations()
