"""A volume that moves to another place or type."""
