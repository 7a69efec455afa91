"""Reading a provider's HTTP error: the part that all clients share.

Above: the clients, which know their provider's error body. Below: dialects.faults, which says what it means.
"""

from sekisho.dialects.faults import THROTTLED_WAIT_S
from sekisho.errors import SekishoError, UpstreamUnavailable
from sekisho.upstream.http1 import Http1Response

_BODY_LIMIT_BYTES = 65_536
_BODY_TIMEOUT_S = 10.0


async def read_fault(response: Http1Response) -> bytes:
    """The body of an error answer; b"" when it cannot be had: the status alone must do then."""
    try:
        return await response.read(_BODY_LIMIT_BYTES, _BODY_TIMEOUT_S)
    except UpstreamUnavailable:
        return b""
    finally:
        response.close()


def answered(error: SekishoError, response: Http1Response, request_id_header: bytes) -> SekishoError:
    """The error with what the provider's answer says of itself, for the journal and the operator."""
    error.upstream_status = response.status
    error.upstream_request_id = response.headers.get(request_id_header, b"").decode("latin-1")
    return error


def retry_after_s(response: Http1Response) -> int:
    """Whole seconds; ours when the provider does not say, or says a date, which none of them does."""
    milliseconds = response.headers.get(b"retry-after-ms", b"")
    if milliseconds.isdigit():
        return -(-int(milliseconds) // 1000)
    seconds = response.headers.get(b"retry-after", b"")
    return int(seconds) if seconds.isdigit() else THROTTLED_WAIT_S
