"""The help of the live view."""

HELP = """\
Keys
  up down j k        select a row; also Page Up, Page Down, Home, End
  Enter, Space       unfold the selected row, or fold it; also right and left
  e                  unfold all rows, or fold all
  s  r               sort by the next column; reverse the order
  /  Esc             filter by a part of a name, a path or an owner; show all
  c                  a row for each cache, or one for all caches
  v                  sparklines of bandwidth, or of occupancy
  w                  the ways of every cache, and which group has which letter
  p                  pause: nothing is read until p is pressed again
  +  -               look less often; more often, but not below 0.1 s
  q                  quit

Columns
  occupancy          llc_occupancy as a share of what the row's own ways hold
  used/own           both in MiB
  MiB/s, local       memory bandwidth; local is that of the cache's NUMA node
  2 min              the last two minutes, bandwidth in proportion to the
                     highest in that time or 1 MiB/s
  *                  a sum without groups that have no counter

States
  invalid, refused   the guest's request has errors, or cannot be planned
  drifted            the host differs from the guest's request
  over               it has more than 105 % of what its ways hold, as after a shrink
  full               it has 95 % or more
  no counter         the kernel has no value, and its word for that is shown
  in use             none of the others
  idle               less than 1 MiB/s, and at most 10 % of what its ways hold
  no request         a guest without groups, for which nothing is requested;
                     unknown if its XML is not available

Ways
  Each cache is drawn with the letter of the group that has each way, the
  highest way on the left: d is the default group, # several groups, and . a
  free way, which no group has; - in a row is a way of other rows only. Idle ways are those that no group has and
  that are not kept for a starting guest. The letters of the selected row
  stand out.
"""
