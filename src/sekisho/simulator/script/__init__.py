"""What the simulated model decides to say and do next, from the tools it is given and the history it reads."""
