"""Sekisho: the checkpoint between coding agents and the models they call."""

__version__ = "0.1.0"
