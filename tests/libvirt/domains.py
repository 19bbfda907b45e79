"""Domain XML for guests that start fast: no devices, little memory."""

from tests.libvirt.answers import GUEST
from tests.libvirt.bodies import HOSTS, VCPUS, Case, terms_of

CPUTUNE = """
<cachetune vcpus='0-1'>
  <cache id='0' level='3' type='both' size='6912' unit='KiB'/>
  <monitor level='3' vcpus='0'/>
</cachetune>
<memorytune vcpus='3'>
  <node id='1' bandwidth='50'/>
</memorytune>
"""


def domain(name: str, cputune: str = CPUTUNE, vcpus: int = 4, current: int | None = None) -> str:
    """A guest with this content of ``<cputune>``; ``current`` of its vCPUs are plugged in at the start."""
    plugged = f" current='{current}'" if current else ""
    return f"""\
<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <vcpu{plugged}>{vcpus}</vcpu>
  <cputune>{cputune}</cputune>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def xml_of(case: Case) -> str:
    """The guest that a case is about."""
    return domain(GUEST, case.body(terms_of(HOSTS[case.host])), VCPUS, case.plugged)
