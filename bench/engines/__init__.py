"""The engines that are measured, each behind the same few calls: ours and the wrapped ones, and peers as they come."""
