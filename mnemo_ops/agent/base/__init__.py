"""What the agent and the controller both speak: records, the protocol, validators of what the other end said.

Offers ``progress``, ``protocol``, ``record``, ``run_id``, ``secrecy``, ``state``, ``validators``.
"""
