"""Tests of cachetune/host."""
