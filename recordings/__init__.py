"""What happened: events, the journal that keeps them, and the replay.

Imports policies and masking only.
"""
