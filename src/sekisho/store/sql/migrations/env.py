"""Runs migrations on the connection that `sekisho.store.sql.migrate` hands over."""

from alembic import context

from sekisho.store.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
