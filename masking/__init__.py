"""Values in, masked values out: column rules first, Presidio second. Imports none of ours."""
