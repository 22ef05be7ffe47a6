"""The HTTP edge: health, metrics, the page. It knows nothing of Socket.IO."""
