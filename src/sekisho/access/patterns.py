"""Regular expressions for whole texts, matched in time linear in the text by Pydantic's engine.

Imported when the first is met: Pydantic takes long to import, and a start waits for whoever requires metadata.
"""

from typing import Annotated

from pydantic import PydanticSchemaGenerationError, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from sekisho.errors import BadRequest


def check_pattern(pattern: str) -> None:
    """Raises BadRequest for what is no regular expression."""
    _adapter(pattern)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches."""
    try:
        _adapter(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


def _adapter(pattern: str) -> TypeAdapter[str]:
    try:
        return TypeAdapter(Annotated[str, StringConstraints(pattern=f"^(?:{pattern})$")])
    except (SchemaError, PydanticSchemaGenerationError) as error:
        raise BadRequest(f"'{pattern[:60]}' is not a regular expression.", param="pattern") from error
