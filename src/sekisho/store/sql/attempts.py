"""The attempts of calls: a row for each, except where the call's own row says all there is.

Most calls are answered at the first try. What that try used and cost is what the call used and cost; so the call's row
holds the deployment, the time of sending and the upstream's request id as well, and there is no other row.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from sekisho.ledger.journal import Attempt, Settled
from sekisho.store.sql.names import clean
from sekisho.values import Usage

INT32_MAX: Final = 2**31 - 1
ANSWERED: Final = 200
NAMED_IN_ATTEMPT: Final = ("deployment", "error", "price_version", "price_scope")
_UUID_MARK = b"\0"  # no text begins with it
_UUID_CHARACTERS = 36
_REQUEST_ID_CHARACTERS = 200


def only_attempt(record: Settled, started_at: int) -> Attempt | None:
    """The attempt of a call that the call's row says all about; None if there is none or more to say."""
    if len(record.attempts) != 1:
        return None
    (one,) = record.attempts
    says_all = (
        one.deployment
        and not one.error
        and one.status == ANSWERED
        and one.duration_us == record.upstream_us
        and abs(one.started_at - started_at) <= INT32_MAX
        and one.usage == record.usage
        and one.usage == fitting(one.usage)
        and (one.list_cost_nanousd, one.cost_nanousd) == (record.list_cost_nanousd, record.cost_nanousd)
    )
    return one if says_all else None


def fitting(usage: Usage) -> Usage:
    """The counts as a call's row can hold them; none that is true is larger."""
    counts = msgspec.structs.astuple(usage)
    return usage if max(counts) <= INT32_MAX else Usage(*(min(count, INT32_MAX) for count in counts))


def pack(request_id: str) -> bytes:
    """The upstream's request id as it is stored: a UUID in 17 bytes, other text as it is."""
    if len(request_id) == _UUID_CHARACTERS:
        try:
            uuid = UUID(request_id)
        except ValueError:
            pass
        else:
            if str(uuid) == request_id:
                return _UUID_MARK + uuid.bytes
    return clean(request_id)[:_REQUEST_ID_CHARACTERS].encode()


def unpack(stored: bytes) -> str:
    """The request id behind `pack`."""
    return str(UUID(bytes=stored[1:])) if stored.startswith(_UUID_MARK) else stored.decode()


def row_of(call_id: bytes, number: int, one: Attempt) -> dict[str, Any]:
    """Columns of `attempt`, names still as strings."""
    return {
        "call_id": call_id,
        "number": number,
        "deployment": clean(one.deployment),
        "started_at": one.started_at,
        "duration_us": one.duration_us,
        "status": one.status,
        "error": clean(one.error),
        **msgspec.structs.asdict(one.usage),
        "list_cost_nanousd": one.list_cost_nanousd,
        "cost_nanousd": one.cost_nanousd,
        "price_version": clean(one.price_version),
        "price_scope": clean(one.price_scope),
        "upstream_request_id": clean(one.upstream_request_id)[:_REQUEST_ID_CHARACTERS],
    }


def row_in_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """The same columns of the only attempt, from those of its call; names stay as they are there."""
    same = ("deployment", "error", "price_version", "price_scope", "list_cost_nanousd", "cost_nanousd")
    return {
        "call_id": call["id"],
        "started_at": call["started_at"] + call["sent_us"],
        "duration_us": call["upstream_us"],
        "status": ANSWERED,
        **{column: call[column] for column in (*same, *Usage.__struct_fields__)},
        "error": 0,
        "upstream_request_id": unpack(call["upstream_request_id"]),
    }
