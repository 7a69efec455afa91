"""A wall clock that is set back or forth under running calls: ids stay apart, nothing lasts less than no time."""

import asyncio
from pathlib import Path

import pytest

from sekisho.access.keys import digest
from sekisho.app.control_plane import ORG_ID
from sekisho.calls.gate import Limits
from sekisho.ledger.journal_files import JournalWriter
from sekisho.simulator.credentials import SIMULATOR_CREDENTIAL
from sekisho.values import Delivery, Snapshot, VirtualKey
from tests.acceptance.conftest import ALICE, PEPPER, call_plane
from tests.acceptance.control_plane import running_control_plane
from tests.acceptance.test_books_agree import BothJournals
from tests.acceptance.test_client_faults import ASK, ask, request
from tests.acceptance.test_upstream_faults import model_at
from tests.unit.dialects.wire import compact
from tests.unit.upstream.servers import Wire, answer, serving

WHOLE = compact(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 7, "outputTokens": 8, "totalTokens": 15},
    }
)


@pytest.mark.parametrize("step_s", (-7200, -1, 7200))
async def test_calls_are_booked_once_and_shown_however_the_clock_is_set(tmp_path: Path, step_s: int) -> None:
    home = tmp_path / "home"
    async with running_control_plane(home) as running:

        async def script(wire: Wire) -> None:
            await wire.request()
            running.clock.step(step_s)  # while the call is under way
            await wire.say(answer(WHOLE))

        async with serving(script) as server:
            model = model_at(server.url)
            with JournalWriter(home / "journal", "call-1") as writer:
                journal = BothJournals(writer=writer)
                async with call_plane((model,), Limits(), tmp_path, running.clock, journal) as plane:
                    key = VirtualKey("alice", ORG_ID, digest(PEPPER, ALICE))
                    snapshot = Snapshot(2, ORG_ID, (key,), (model,), simulated=True)
                    plane.registry.deliver(Delivery(snapshot, {"simulator": SIMULATOR_CREDENTIAL}))
                    answers = await asyncio.gather(*(ask(plane, request(body=ASK)) for _ in range(5)))
            assert {status for status, _, _ in answers} == {200}
            assert await running.plane.drain_once() == 10

    async with running_control_plane(home) as again:
        rows = await again.plane.services().calls.changed(ORG_ID, after=0, limit=100)
        assert len({row.id for row in rows}) == 5 and {row.status for row in rows} == {"ok"}
        assert all(row.ended_at is not None and row.ended_at >= row.started_at for row in rows)
        assert {row.cost_nanousd for row in rows} == {journal.settled[0].cost_nanousd}
