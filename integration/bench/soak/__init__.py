"""A soak: a real engine with everything switched on, under mixed traffic for minutes, and what it leaves behind."""
