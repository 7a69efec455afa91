"""What the control process takes from where."""

import pytest

from sekisho.app.control_process import master_key
from sekisho.config.configuration import Configuration
from sekisho.settings import SecretRef, Settings, SettingsError

OF_THE_FILE = Configuration(master_key=SecretRef("literal", "sk-file"))


@pytest.mark.parametrize(
    ("settings", "configuration", "key"),
    [
        (Settings(master_key=SecretRef("env", "KEY")), OF_THE_FILE, "sk-setting"),
        (Settings(), OF_THE_FILE, "sk-file"),
        (Settings(), Configuration(), ""),
    ],
)
def test_the_setting_of_the_master_key_wins_over_the_files(
    settings: Settings, configuration: Configuration, key: str
) -> None:
    assert master_key(settings, configuration, {"KEY": "sk-setting"}) == key


def test_a_master_key_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match="MISSING"):
        master_key(Settings(master_key=SecretRef("env", "MISSING")), OF_THE_FILE, {})
