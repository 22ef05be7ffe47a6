"""The version, in a module without imports so that the build can read it without running the package."""

__version__ = "0.1.0"
