"""The door for plain WebSockets, `/ws`: the rooms for clients without a Socket.IO library.

Two dialects (docs/websocket.md): the tutorial's, one JSON object per frame, and the native one,
`[event, data, id]`. The door lets connections in (`door`), a connection carries frames
(`connection`), a talk understands them (`tutorial_talk`, `native_talk`; how they are written is in
`tutorial` and `native`, which are pure), and `rooms` is what both have in common.
"""
