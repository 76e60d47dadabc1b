"""How much a message is worth keeping, from what the message itself says."""
