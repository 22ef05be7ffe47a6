"""The version and the name, in a module without imports: the build reads it by itself."""

__version__ = "0.1.0"

SOFTWARE = "sioserver"
"""What answers say of who gives them (RFC 9110, 10.2.4): nothing that helps to choose an attack,
such as the versions that aiohttp would name."""
