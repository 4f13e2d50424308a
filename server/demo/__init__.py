"""The demo: a sample database, a gateway before it, and a tour through it."""
