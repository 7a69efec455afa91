"""The tables, as SQLAlchemy Core. Migrations build them; a test proves that both say the same.

Only what SQLite and PostgreSQL both know. Times: BIGINT microseconds. Money: BIGINT nano-USD. Strings that repeat
(keys, users, models, agents ...) are rows of `name`, and the busy tables hold their small numbers.

One file for each part that owns tables; `metadata` holds them all once they are imported.
"""

from sekisho.store.sql.tables import content, ledger, organisation, rights, sign_in
from sekisho.store.sql.tables.schema import metadata

__all__ = ["content", "ledger", "metadata", "organisation", "rights", "sign_in"]
