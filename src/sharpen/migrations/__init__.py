"""The store's schema, step by step, on Alembic.

In: an engine. Out: the same database at the newest schema. Must not know the records' meaning.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine

_LOCK = 0x5AA9  # chosen: any constant; names the PostgreSQL advisory lock that lets one process migrate at a time


def alembic_config() -> Config:
    """Return Alembic's configuration; there is no alembic.ini to lose."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest revision, in one transaction, one process at a time."""
    config = alembic_config()
    head = ScriptDirectory.from_config(config).get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == head:
            return
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
