"""The measurements, one module each; its docstring is the page of its method."""
