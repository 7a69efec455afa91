"""Puts the call plane together: the parts, the path, the sockets."""
