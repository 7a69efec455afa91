"""Measurements beside a peer in one run: ratios count, absolute figures belong to one machine."""
