"""Where inside a Python job its energy went: the stacks that it recorded, joined with the power."""
