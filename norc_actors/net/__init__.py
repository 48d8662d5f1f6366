"""Trio streams around the sans-I/O objects: TLS, WebSocket, listeners."""
