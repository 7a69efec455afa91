"""What Bedrock answers when it refuses or fails: the AWS exception names, their statuses and their bodies.

Statuses follow botocore's bedrock-runtime service model; the authentication exceptions follow AWS's common errors.
"""

from typing import Any

import msgspec

STATUS = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InternalServerException": 500,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "RequestEntityTooLargeException": 413,
    "ResourceNotFoundException": 404,
    "SerializationException": 400,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
    "ValidationException": 400,
}

_TYPE_SUFFIX = ":http://internal.amazon.com/coral/com.amazon.bedrock/"


class AwsException(Exception):
    """One refusal in AWS's form. `fields` are further members of the body, such as `originalStatusCode`."""

    def __init__(self, name: str, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.fields = fields

    @property
    def status(self) -> int:
        return STATUS[self.name]

    @property
    def error_type(self) -> str:
        """The value of `x-amzn-errortype`; clients read up to the colon."""
        return self.name + _TYPE_SUFFIX

    @property
    def stream_name(self) -> str:
        """The value of `:exception-type` in an event stream."""
        return self.name[0].lower() + self.name[1:]

    def body(self) -> bytes:
        return msgspec.json.encode({"message": self.message, **self.fields})


class ModelRefusal(Exception):
    """The model behind the API refuses the request. Converse and InvokeModel word the same refusal differently."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def validation(message: str) -> AwsException:
    """The exception Bedrock answers nearly every bad request with."""
    return AwsException("ValidationException", message)
