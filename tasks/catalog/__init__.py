"""What the package knows by heart: tables and pure look-ups that import nothing above them."""
