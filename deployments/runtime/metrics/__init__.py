"""The metrics of one replica, and how they are sent to the Metrics deployment."""
