"""`sekisho demo`: a month of an organisation at work, called through the real path with a clock of its own.

Nothing is written into the ledger by hand: the agents' bodies go through a door on loopback to the Bedrock simulator,
and the journal of that passage is drained like that of any call process. Why so: docs/why/demo.md
"""
