"""Plain NumPy twins of the kernels, with the same names: readable, slow, in the dtype of their inputs."""
