"""The month of the demonstration: called through the real path, at believable times, within its budgets."""

from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from sekisho.access.declaration.reading import read_declaration
from sekisho.app.demo.organisation import DEVELOPERS, TEAM_IDS, document
from sekisho.app.demo.play import Play
from sekisho.clock import SystemClock
from sekisho.ledger.journal import Opened, Record, Refused, Settled
from sekisho.ledger.journal_files import JournalReader
from sekisho.settings import Settings
from sekisho.values import Snapshot, VirtualKey

ZONE = ZoneInfo("Asia/Tokyo")


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("with_budgets", [False, True])
def test_its_organisation_is_a_good_document(language, with_budgets):
    declaration = read_declaration(document(language, with_budgets=with_budgets), "UTC")
    stated = Counter(address[0] for address in declaration.things)
    assert (stated["team"], stated["key"], bool(stated["budget"])) == (len(TEAM_IDS), len(DEVELOPERS), with_budgets)


async def test_every_call_is_booked_in_working_hours_of_the_last_month(tmp_path):
    (tmp_path / "journal").mkdir()
    keys = tuple(
        VirtualKey(one.key_alias, "default", b"", alias=one.key_alias, user_id=one.user_id, team_id=one.team)
        for one in DEVELOPERS
    )
    calls = await Play(Settings(home=tmp_path), Snapshot(1, "default", keys, ()), "ja", seed=7, scale=0.03).run()
    reader = JournalReader(tmp_path / "journal")
    records: list[Record] = []
    for segment in reader.segments():
        offset = 0
        while batch := reader.read(segment, offset):
            offset = batch.end_offset
            records += batch.records
    opened = [one for one in records if isinstance(one, Opened)]
    settled = [one for one in records if isinstance(one, Settled)]
    refused = [one for one in records if isinstance(one, Refused)]
    assert calls == len(opened) + len(refused) > 30
    assert Counter(one.call_id for one in settled) == Counter(one.call_id for one in opened)
    assert all(one.status == "ok" and one.is_metered and one.cost_nanousd > 0 for one in settled)
    assert {one.caller.agent for one in opened} == {"cline", "claude-code"}
    oldest_us = SystemClock().now_us() - 32 * 86_400_000_000
    for one in opened:
        at = datetime.fromtimestamp(one.started_at / 1e6, ZONE)
        assert one.started_at > oldest_us and at.weekday() < 5 and 9 <= at.hour <= 21, at
    assert any(one.usage.cache_read_tokens for one in settled)
    assert all(one.first_byte_us > 100_000 for one in settled if one.upstream_us)
