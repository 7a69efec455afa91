"""What an HTTP error of Amazon Bedrock means. Source: the errors of the bedrock-runtime service model, and those common
to all AWS services."""

import msgspec

from sekisho.errors import SekishoError
from sekisho.upstream.faults import read_fault, render_fault
from sekisho.upstream.http1 import Http1Response

# the HTTP status whose meaning the exception has for the caller, which is not always the status it comes with
MEANINGS = {
    "ValidationException": 400,
    "ConflictException": 400,
    "SerializationException": 400,
    "AccessDeniedException": 403,
    "UnrecognizedClientException": 403,
    "InvalidClientTokenId": 403,
    "InvalidSignatureException": 403,
    "SignatureDoesNotMatch": 403,
    "IncompleteSignature": 403,
    "IncompleteSignatureException": 403,
    "MissingAuthenticationToken": 403,
    "MissingAuthenticationTokenException": 403,
    "ExpiredToken": 403,
    "ExpiredTokenException": 403,
    "RequestExpired": 403,
    "OptInRequired": 403,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "ServiceQuotaExceededException": 429,
    "ModelNotReadyException": 503,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
    "ModelErrorException": 500,
    "ModelStreamErrorException": 500,
}


class _Body(msgspec.Struct):
    message: str = ""
    capital_message: str = msgspec.field(name="Message", default="")
    type: str = msgspec.field(name="__type", default="")
    original_status: int | None = msgspec.field(name="originalStatusCode", default=None)


async def bedrock_fault(response: Http1Response, region: str) -> SekishoError:
    """Read an answer that is not 200 to its end and say what it means."""
    data = await read_fault(response)
    try:
        body = msgspec.json.decode(data, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # a load balancer's page, or cut off
        body = _Body()
    headers = response.headers
    # "ThrottlingException:http://..." in the header, "com.amazon.coral.service#ThrottlingException" in the body
    named = headers.get(b"x-amzn-errortype", b"").decode("latin-1") or body.type
    name = named.split(":")[0].rpartition("#")[2]
    meaning = MEANINGS.get(name, response.status)
    if name in ("ModelErrorException", "ModelStreamErrorException") and body.original_status is not None:
        meaning = body.original_status
    return render_fault(
        f"Amazon Bedrock in {region}",
        response,
        meaning,
        body.message or body.capital_message,
        headers.get(b"x-amzn-requestid", b""),
    )
