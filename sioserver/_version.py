"""The version, in a module without imports: the build reads it without running the package."""

__version__ = "0.1.0"
