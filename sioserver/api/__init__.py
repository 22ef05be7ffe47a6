"""The HTTP edge: health, metrics, the page, the operator's API. It knows nothing of Socket.IO."""
