"""Export what a host has to Prometheus: counters, allocation, guests, the agent.

``look`` reads the host, ``samples`` makes values of the metrics from that (``metrics`` is their table), ``collector``
puts them in Prometheus's format and ``serve`` serves them. It never writes to resctrl. prometheus-client, the extra
``metrics``, is imported on use.
"""
