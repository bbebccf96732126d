"""From an old host to a new one."""
