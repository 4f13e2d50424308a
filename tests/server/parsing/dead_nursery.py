"""A nursery that ends before it has forked anything (tests only)."""

import sys

sys.exit(1)
