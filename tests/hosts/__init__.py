"""What is tried on throwaway hosts."""
