"""How shared counters are, for the control plane to tell."""

from sekisho.app.counting import valkey_address
from sekisho.settings import Settings
from sekisho.store.counters.valkey_client import find_failure
from sekisho.web.admin.services import Counting


async def look_at_counters(settings: Settings) -> Counting:
    """How they are, asked now."""
    address = valkey_address(settings)
    failure = await find_failure(address, settings.valkey_timeout_s)
    return Counting("valkey", address.shown, failure, settings.limits_fail_mode)
