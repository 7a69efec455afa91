from tests.contract.store.conftest import empty, postgres

__all__ = ["empty", "postgres"]
