"""The way of a call: what it is (`call`), the stages it walks (`path`), and how its answer comes back (`answer`)."""
