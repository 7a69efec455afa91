"""What a task is called, of what agents really send around a person's words."""

import pytest

from sekisho.record.titles import first_line, own_words


@pytest.mark.parametrize(
    "sent",
    [
        "Add a health check.",
        "<task>\nAdd a health check.\n</task>\n<environment_details>\nfiles\n</environment_details>",
        "<session>\nAdd a health check.\n</session>",  # what Claude Code asks a title for
        "<system-reminder>Rules.</system-reminder>\n\nAdd a health check.",
    ],
)
def test_a_title_is_what_the_person_wrote(sent: str) -> None:
    assert first_line(own_words(sent)[0]) == "Add a health check."
