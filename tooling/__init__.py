"""What fetches and makes the files that the package is used with: scripts/ calls each module."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
