"""Everything Sekisho refuses or fails with, as one tree.

SekishoError
  BadRequest             what came cannot be read, or asks for what does not exist
    BodyTooLarge         more bytes than the gateway takes
    ContextTooLong       the model's context window is too small for the prompt (agents compact on it)
    Conflict             the same was asked before, in other words
  NotAuthenticated       no key, an unknown key, an expired key, a blocked key
  NotAllowed             the key is known and may not do this
  NotFound               no such thing, or hidden by policy
  BudgetExceeded         a budget has no room for the call
  ContentBlocked         a guardrail refuses the content
  RateLimited            a limit is reached; `retry_after_s` says when to come back
  UpstreamRejected       the model provider refused the call (its status, its words)
  UpstreamUnavailable    the model provider failed, broke the connection or its own format
    UpstreamTimeout      the model provider did not answer in time
    UpstreamAccessDenied the model provider refused the gateway's own credentials (for the operator to mend)
  StoreUnavailable       keys or money cannot be checked or recorded: nothing passes
    JournalCorrupt       a journal segment is damaged in its middle: an operator must look
    MayNotJoin           those who use the database already do not allow this replica: an operator must mend it
  Internal               a fault of ours; the caller sees only the id

Each class says the HTTP status on model routes, the code a program reads, and whether trying again may help.
`message` is safe to show to the caller; the cause stays in `__cause__`. When a provider answered, `upstream_status`,
`upstream_request_id` and `upstream_message` say what, for the journal and the operator only. `may_be_billed`: the
provider may have worked on the call although nothing came of it.
"""

from typing import ClassVar


class SekishoError(Exception):
    """The call cannot be served."""

    status: int = 500
    code: str = "internal_error"
    retryable: ClassVar[bool] = False
    anthropic_type: ClassVar[str] = "api_error"
    openai_type: ClassVar[str] = "server_error"
    aws_exception: ClassVar[str] = "InternalServerException"

    def __init__(self, message: str | None = None, *, param: str | None = None) -> None:
        self.message = message or str(type(self).__doc__)
        self.param = param
        self.retry_after_s: int | None = None
        self.upstream_status = 0
        self.upstream_request_id = ""
        self.upstream_message = ""
        self.may_be_billed = False
        super().__init__(self.message)


class BadRequest(SekishoError):
    """The request cannot be read."""

    status = 400
    code = "invalid_request"
    anthropic_type = "invalid_request_error"
    openai_type = "invalid_request_error"
    aws_exception = "ValidationException"


class BodyTooLarge(BadRequest):
    """The request body is larger than this gateway takes."""

    status = 413
    code = "request_too_large"
    anthropic_type = "request_too_large"


class ContextTooLong(BadRequest):
    """prompt is too long: the input exceeds the model's context window."""

    code = "context_length_exceeded"


class Conflict(BadRequest):
    """The request contradicts an earlier one."""

    status = 409
    code = "conflict"


class NotAuthenticated(SekishoError):
    """The key is missing or not valid."""

    status = 401
    code = "invalid_api_key"
    anthropic_type = "authentication_error"
    openai_type = "authentication_error"
    aws_exception = "UnrecognizedClientException"


class NotAllowed(SekishoError):
    """This key may not do that."""

    status = 400  # agents misread or retry 403: docs/why/refusals.md
    code = "not_allowed"
    anthropic_type = "permission_error"
    openai_type = "permission_error"
    aws_exception = "AccessDeniedException"


class NotFound(SekishoError):
    """There is no such thing here."""

    status = 404
    code = "not_found"
    anthropic_type = "not_found_error"
    openai_type = "invalid_request_error"
    aws_exception = "ResourceNotFoundException"


class ModelNotFound(NotFound):
    """There is no such model here."""

    code = "model_not_found"


class BudgetExceeded(SekishoError):
    """A budget has no room for this call."""

    status = 400
    code = "budget_exceeded"
    anthropic_type = "invalid_request_error"
    openai_type = "budget_exceeded"
    aws_exception = "ValidationException"


class ContentBlocked(SekishoError):
    """A guardrail refuses this content."""

    status = 400
    code = "content_blocked"
    anthropic_type = "invalid_request_error"
    openai_type = "content_blocked"
    aws_exception = "ValidationException"


class RateLimited(SekishoError):
    """A limit is reached."""

    status = 429
    code = "rate_limit_exceeded"
    retryable = True
    anthropic_type = "rate_limit_error"
    openai_type = "rate_limit_exceeded"
    aws_exception = "ThrottlingException"

    def __init__(self, message: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = min(max(retry_after_s, 1), 59)  # agents ignore 60 and more


class UpstreamRejected(SekishoError):
    """The model provider refused the call."""

    status = 400
    code = "upstream_rejected"
    anthropic_type = "invalid_request_error"
    openai_type = "invalid_request_error"
    aws_exception = "ValidationException"

    def __init__(self, message: str | None = None, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class UpstreamUnavailable(SekishoError):
    """The model provider is not available."""

    status = 502
    code = "upstream_unavailable"
    retryable = True
    anthropic_type = "api_error"
    openai_type = "server_error"
    aws_exception = "ServiceUnavailableException"


class UpstreamTimeout(UpstreamUnavailable):
    """The model provider did not answer in time."""

    status = 504
    code = "upstream_timeout"
    aws_exception = "ModelTimeoutException"


class UpstreamAccessDenied(UpstreamUnavailable):
    """The gateway's credentials were refused by the model provider."""

    code = "upstream_access_denied"
    retryable = False


class StoreUnavailable(SekishoError):
    """Keys or money cannot be checked right now, so nothing passes."""

    status = 503
    code = "store_unavailable"
    retryable = True
    anthropic_type = "overloaded_error"
    openai_type = "server_error"
    aws_exception = "ServiceUnavailableException"


class MayNotJoin(StoreUnavailable):
    """The database is in use by others who do not allow this replica."""


class JournalCorrupt(StoreUnavailable):
    """A journal segment is damaged. Nothing of it is skipped; an operator must look at the file."""

    retryable = False


class Internal(SekishoError):
    """Something failed inside Sekisho. The id finds it in the log."""
