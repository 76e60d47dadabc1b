"""The deployments of the service. They do not depend on HTTP."""
