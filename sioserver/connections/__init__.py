"""What the edges with live connections have in common, whatever they speak.

Knows rooms and people, but no wire: no frame, no packet and no HTTP request.
"""
