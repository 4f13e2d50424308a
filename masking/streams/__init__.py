"""Text streams under masks: terminals, logs, HTTP bodies. No input or output in here."""
