"""Tests of cachetune/monitor."""
