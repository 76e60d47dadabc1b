"""How tests over generated input run."""

from hypothesis import settings

# The same examples in every run, so that no run fails by chance; and none by how busy the machine is.
GENERATED = settings(max_examples=100, deadline=None, derandomize=True)
