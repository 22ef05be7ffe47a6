"""WebSockets (RFC 6455, RFC 7692), the server's end: a connection taken over from aiohttp, frames
in and out, compressed where that was agreed.

Knows neither what the messages mean nor which edge they belong to.
"""
