"""The operator's configuration file: LiteLLM's config.yaml as it is, with an optional section of our own."""
