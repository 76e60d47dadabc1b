"""The Metrics deployment: the totals of the cluster."""
