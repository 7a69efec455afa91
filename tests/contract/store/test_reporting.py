"""How figures are shown is kept with its history in the audit log."""

import json

from sekisho.access.audit import AuditFilter
from sekisho.record.reporting import Rate, Reporting
from sekisho.store.sql.audit import SqlAudit
from sekisho.store.sql.reporting import SqlReporting


async def test_it_is_usual_until_set_and_each_setting_is_audited(database):
    reporting = SqlReporting(database)
    assert await reporting.reporting("default") == Reporting()
    first, second = Reporting((Rate("2026-11-19", "156.20"),)), Reporting(names_people=True)
    await reporting.set_reporting("default", first, "alice", 1)
    await reporting.set_reporting("default", second, "bob", 2)
    assert await reporting.reporting("default") == second
    assert await reporting.reporting("another") == Reporting()
    entries = await SqlAudit(database).list_entries("default", AuditFilter(kind="setting"), limit=9)
    assert [(entry.actor, entry.id) for entry in entries] == [("bob", "reporting"), ("alice", "reporting")]
    assert json.loads(entries[0].before or "")["rates"] == [{"day": "2026-11-19", "jpy_per_usd": "156.20"}]
