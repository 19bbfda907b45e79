"""Domains that the guests of these tests have; written for machines with one cache where nothing else is said."""

# Two control groups, a monitor in one and one of the default group: steps of every kind.
FAULTS = """\
<domain type='kvm'>
  <name>faults</name>
  <vcpu>4</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='7680' unit='KiB'/>
      <monitor level='3' vcpus='0'/>
    </cachetune>
    <cachetune vcpus='2'>
      <cache id='0' level='3' type='both' size='3840' unit='KiB'/>
    </cachetune>
    <memorytune vcpus='2'>
      <node id='0' bandwidth='50'/>
    </memorytune>
    <cachetune vcpus='3'>
      <monitor level='3' vcpus='3'/>
    </cachetune>
  </cputune>
</domain>
"""

# The same with two caches.
FAULTS_TWO_CACHES = "<cache id='1'".join(FAULTS.rsplit("<cache id='0'", 1))

# As little as there can be.
ONE_VCPU = """\
<domain type='kvm'>
  <name>one</name>
  <vcpu>1</vcpu>
  <cputune>
    <cachetune vcpus='0'>
      <cache id='0' level='3' type='both' size='7680' unit='KiB'/>
    </cachetune>
  </cputune>
</domain>
"""

# All threads of the process, whatever they are.
WHOLE_PROCESS = ONE_VCPU.replace("<name>one</name>", "<name>whole</name>").replace(" vcpus='0'", "")
