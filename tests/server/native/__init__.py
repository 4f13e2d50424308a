"""What native doors share."""
