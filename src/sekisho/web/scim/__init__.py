"""SCIM 2.0 for the organisation's directory."""
