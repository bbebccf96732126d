"""One agent on one host: the bundle that travels, the way there, sudo, the session, and what a host may report over it.

Offers ``agent_channel``, ``host_keys``, ``raw_shell``, ``session``.
"""
