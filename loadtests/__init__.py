"""Load tests of the service, and the floor: the same service without Ray, for comparison."""
