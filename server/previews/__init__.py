"""Previews: changes that wait for approval, tried out and rolled back, for those who decide."""
