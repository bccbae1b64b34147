"""What needs no host."""
