"""An upstream answer under way to its client: read, translated, settled before its end is released.

The reader is not tied to the client: whoever drives `next` may go on after the client has left, so that the usage at
the end of the stream is still booked. Why there is no separate reader task: docs/why/drain.md
"""

import logging

from sekisho.calls.call import AttemptNote, Trail
from sekisho.calls.gate import Outcome, Settle
from sekisho.clock import Clock
from sekisho.dialects.translation import Translation
from sekisho.errors import SekishoError, StoreUnavailable, UpstreamTimeout, UpstreamUnavailable
from sekisho.upstream.http1 import Http1Response
from sekisho.values import Usage

log = logging.getLogger(__name__)


class Answer:
    """One answer. `next` gives client bytes until `has_ended`; the last of them are out only after settlement.

    `ends_by_us`: when the whole call must be over, on the monotonic clock."""

    def __init__(
        self,
        response: Http1Response,
        translation: Translation,
        attempt: AttemptNote,
        trail: Trail,
        clock: Clock,
        *,
        is_stream: bool,
        idle_timeout_s: float,
        ends_by_us: int,
    ) -> None:
        self._response = response
        self._translation = translation
        self._attempt = attempt
        self._trail = trail
        self._clock = clock
        self._idle_timeout_s = idle_timeout_s
        self._ends_by_us = ends_by_us
        self._first = b""
        self._settle: Settle | None = None
        self.is_stream = is_stream
        self.has_ended = False
        self.client_left = False
        self.cost_nanousd: int | None = None

    @property
    def media_type(self) -> bytes:
        return self._translation.media_type

    def settle_with(self, settle: Settle) -> None:
        """Say who books the cost. Called once, by the stage that opened the call."""
        self._settle = settle

    async def begin(self, first_byte_timeout_s: float) -> None:
        """Wait until the upstream has said something of its own, so that a failure before it can still be retried.

        Raises what the stream's first event says, or UpstreamUnavailable, UpstreamTimeout.
        """
        parts = []
        while not (self._translation.has_started or self._translation.is_complete):
            data = await self._response.next(self._wait_s(first_byte_timeout_s))
            if not data:
                raise UpstreamUnavailable("The model provider ended its answer before it began.")
            parts.append(self._translation.feed(data))
        self._first = b"".join(parts)

    async def next(self) -> bytes:
        """The next bytes for the client. With `has_ended` set they are the last."""
        try:
            out, self._first = self._first, b""
            while not self._translation.is_complete:
                if out:
                    return out
                data = await self._response.next(self._wait_s(self._idle_timeout_s))
                if not data:
                    if self._translation.stop_reason is not None:
                        break  # whole for the client, though its usage never came: booked at the bound
                    raise UpstreamUnavailable("The model provider broke off its answer.")
                out = self._translation.feed(data)
        except SekishoError as error:
            return await self._fail(error)
        try:
            cost = await self._book(Outcome(self._translation, client_left=self.client_left))
        except StoreUnavailable as error:  # not booked: the client must not see a good end
            return out + self._translation.failure(error)
        return out + self._translation.finish(cost)

    async def _fail(self, error: SekishoError) -> bytes:
        self._response.close()
        self._attempt.error = error.code
        await self._book(Outcome(self._translation, error.code, error.message, client_left=self.client_left))
        return self._translation.failure(error)

    async def read(self, limit_bytes: int, timeout_s: float) -> None:
        """Take in a whole, non-streamed answer. Raises UpstreamUnavailable, UpstreamTimeout, UpstreamRejected."""
        body = await self._response.read(limit_bytes, self._wait_s(timeout_s))
        self._translation.read(body, self._response.headers)
        self._response.close()

    async def whole(self) -> bytes:
        """The complete body for the client, after settlement."""
        cost = await self._book(Outcome(self._translation, client_left=self.client_left))
        return self._translation.body(cost)

    async def abandon(self) -> None:
        """Stop reading: the client is gone and the time to wait for the usage has passed."""
        self._response.close()
        if not self.has_ended:
            await self._book(
                Outcome(
                    self._translation, "client_gone", "The client left the stream.", client_left=True, is_abandoned=True
                )
            )

    async def release(self, timeout_s: float) -> None:
        """Let go of the upstream connection; read its closing bytes, so that it can serve again."""
        try:
            while await self._response.next(timeout_s):
                pass
        except SekishoError as error:
            log.debug("upstream connection not reusable: %s", error.code)
        self._response.close()

    def keepalive(self) -> bytes:
        return self._translation.keepalive()

    def _wait_s(self, most_s: float) -> float:
        """How long to wait for the next bytes, within the time of the whole call. Raises UpstreamTimeout."""
        left_s = (self._ends_by_us - self._clock.monotonic_us()) / 1_000_000
        if left_s <= 0:
            raise UpstreamTimeout("The answer took longer than this gateway lets a call take.")
        return min(most_s, left_s)

    async def _book(self, outcome: Outcome) -> int:
        assert self._settle is not None
        self.has_ended = True
        usage = self._translation.usage
        self._attempt.usage = usage or Usage()
        self._attempt.is_metered = usage is not None and not outcome.error
        self._attempt.ended_us = self._clock.monotonic_us()
        self.cost_nanousd = await self._settle(outcome)
        return self.cost_nanousd
