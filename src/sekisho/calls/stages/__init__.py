"""The stages of a call, one file per verb. Each is `async (gate, call, next) -> reply`."""
