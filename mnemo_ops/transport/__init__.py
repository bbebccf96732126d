"""One agent on one host: the bundle that travels, the way there, sudo, and the session over it.

Offers ``agent_channel``, ``host_keys``, ``raw_host``, ``raw_shell``, ``session``.
"""
