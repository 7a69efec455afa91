"""Settings of all tests."""

import gc


def pytest_collection_finish() -> None:
    """Thousands of collected tests live as long as the worker: they are not walked again at each collection."""
    gc.collect()
    gc.freeze()
