"""Alembic's entry point; the connection comes from gateway.database.connection.migrate."""

from alembic import context

from gateway.database.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table="cn_schema",
    render_as_batch=True,
)
context.run_migrations()
