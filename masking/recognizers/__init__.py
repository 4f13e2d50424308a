"""Recognizers that Presidio lacks, or has in a form that leaks."""
