"""The switchable capabilities: options, per-request sessions, telemetry."""
