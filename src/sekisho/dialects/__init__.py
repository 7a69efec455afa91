"""Pure codecs between wire formats and the neutral exchange: no I/O, no clock, no settings."""
