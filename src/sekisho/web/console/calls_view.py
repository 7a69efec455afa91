"""Calls as the pages show them, made of the ledger's rows: their last deployment and the names of their keys."""

from collections.abc import Mapping, Sequence

import msgspec

from sekisho.access.register import KeyLabel
from sekisho.clock import id_text
from sekisho.record.calls import AttemptRow, CallRow
from sekisho.values import StopReason
from sekisho.web.admin.services import Services
from sekisho.web.console.views import CallView


class ViewedCalls:
    """Makes views of rows."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def views(self, rows: Sequence[CallRow]) -> list[CallView]:
        """The same calls in the same order."""
        attempts = await self._services.calls.attempts([row.id for row in rows])
        labels = await self._services.keys.labels({row.key_id for row in rows})
        among = frozenset(row.user_id for row in rows if row.user_id)
        people = await self._services.users.list(limit=len(among), among=among) if among else []
        names = {user.id: user.alias for user in people}
        return [
            _view(row, attempts.get(row.id, []), key_label(labels, row.key_id), names.get(row.user_id, ""))
            for row in rows
        ]


def key_label(labels: Mapping[str, KeyLabel], key_id: str) -> str:
    """A key's alias, else its id."""
    label = labels.get(key_id)
    return label.alias if label and label.alias else key_id


def _view(row: CallRow, attempts: list[AttemptRow], alias: str, user_name: str) -> CallView:
    return CallView(
        call_id=id_text(row.id),
        started_at=row.started_at,
        status=row.status,
        change_seq=row.change,
        stage=row.stage,
        key_id=row.key_id,
        key_alias=alias,
        task_id=id_text(row.task_id) if row.task_id else "",
        user_id=row.user_id,
        user_name=user_name or row.user_id,
        team_id=row.team_id,
        agent=row.agent,
        agent_version=row.agent_version,
        model=row.model,
        deployment=attempts[-1].deployment if attempts else "",
        usage=row.usage,
        cost_nanousd=row.cost_nanousd,
        reserved_nanousd=row.reserved_nanousd,
        is_metered=row.is_metered,
        price_version=row.price_version,
        price_scope=row.price_scope,
        duration_us=row.ended_at - row.started_at if row.ended_at else 0,
        first_byte_us=row.first_byte_us,
        upstream_us=row.upstream_us,
        stages_us=row.stages_us,
        error=row.error,
        message=row.message,
        client_left=row.client_left,
        stop_reason=msgspec.convert(row.stop_reason or None, StopReason | None),
        tools=row.tools,
    )
