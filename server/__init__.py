"""The running program: the gate, its doors and its connectors."""
