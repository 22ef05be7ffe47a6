"""Where the keys come from that verify tokens: files that the configuration names, or an issuer.

Reads and fetches; what a key is good for is decided in `sioserver.auth`.
"""
