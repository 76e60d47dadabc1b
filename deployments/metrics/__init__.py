"""The metrics of the whole cluster: each replica measures, one adds up."""
