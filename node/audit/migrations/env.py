"""Alembic's environment: migrations run on the connection that `schema.upgrade` passes."""

from alembic import context

from node.audit.tables import Base

connection = context.config.attributes["connection"]
names = set(Base.metadata.tables)
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    # DBOS keeps its own tables in the same database; they are not ours to compare.
    include_name=lambda name, kind, _parents: kind != "table" or name in names,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
