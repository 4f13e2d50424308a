"""The scanner's spans, faster: what need not be shown to a recognizer is not shown to it."""
