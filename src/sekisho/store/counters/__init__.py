"""Counter engines: what `ledger.counters` promises, kept in the memory of one call process."""
