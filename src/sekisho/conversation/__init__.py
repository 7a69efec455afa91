"""Conversations: the blocks a body is made of, and how it goes on from an earlier call of the same key.

Above: the stages, which ask a call's chain. Below: bytes and `dialects`. Unknown here: money, models, who may what.
Why: docs/why/blocks.md
"""
