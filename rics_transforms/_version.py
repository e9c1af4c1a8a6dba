"""The version: read by the build, the command line and what is saved to files."""

__version__ = "0.1.0"
