"""The answers of real kernels, as tables for the tests of the simulated one."""
