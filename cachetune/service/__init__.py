"""The services: each function takes values, does one job, and returns values.

``Location`` is where to work, ``Selection`` which guests to work on, ``Document`` a file with their request, and
``plan.request.Options`` how to plan. Nothing here prints, prompts, or ends the process: warnings are ``notes`` of the
result, or notes of the exception (PEP 678) if there is no result. The command line, the agent, the hook and the public
functions of ``cachetune`` (in ``api``) all use this package.

``connection`` and ``hosts`` open and read a host, ``select`` and ``requests`` find guests and what they request,
``plans`` plans and ``changes`` carries a plan out, ``readings`` reads counters, and ``status`` compares guests with the
host, ``states`` again and again.
"""
