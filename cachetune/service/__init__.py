"""What a program does with cachetune: each function takes values, does one job, and returns values.

``Location`` says where, ``Selection`` which guests, ``Document`` what they are to have, and plan.request.Options how to
plan. Nothing here prints, asks, or ends the process: warnings come back as ``notes`` of the result, or as notes of the
exception (PEP 678) when there is no result. The command line, the agent, the hook and the public functions of
``cachetune`` all go through this package.
"""
