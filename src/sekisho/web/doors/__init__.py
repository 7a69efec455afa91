"""The doors of the call plane: raw ASGI, for agents. What is not a call goes on to the control plane."""
