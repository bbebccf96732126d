"""The agent's process: channel, jobs and leases that outlive it, the lock of the host, kept code.

Offers ``channel``, ``code_cache``, ``handout``, ``host_lock``, ``job``, ``lease``.
"""
