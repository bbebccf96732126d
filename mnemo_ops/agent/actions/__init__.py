"""What flows and commands do on a host, or look at: in the registry of :mod:`mnemo_ops.agent.engine.action`.

Offers every module in it.
"""
