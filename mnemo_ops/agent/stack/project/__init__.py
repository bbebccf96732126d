"""What a compose project is, read from itself: its model, and what follows from it, each with its reason."""
