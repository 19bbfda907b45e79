"""What real kernels answered, as tables for the tests of the simulated one."""
