"""A credential -> Principal."""
