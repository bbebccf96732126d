"""Docker for resources: its command line, what a container is made of, Compose.

Offers ``cli``, ``compose_state``, ``container_spec``, ``images``.
"""
