"""Record how a real libvirt handles <cputune>. Run it by hand, with libvirt0 installed, to update the record.

    python -m tests.domain.record_libvirt > tests/domain/recorded/libvirt-9.0.json

It defines random domains in libvirt's built-in test driver and keeps a sample of each verdict. The driver uses the same
parser as the others and needs neither a daemon nor a hypervisor.
"""

import ctypes
import json
import random
import re
import sys

DOMAIN = (
    "<domain type='test'><name>sample</name><memory>1024</memory><vcpu>4</vcpu><os><type>hvm</type></os>{}</domain>"
)
_EACH = 12
_TRIES = 20_000
_AS_INACTIVE = 2


class TestDriver:
    """Open a connection to test:///default."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("libvirt.so.0")
        pointer = ctypes.c_void_p
        for name, arguments, result in (
            ("virConnectOpen", [ctypes.c_char_p], pointer),
            ("virDomainDefineXMLFlags", [pointer, ctypes.c_char_p, ctypes.c_uint], pointer),
            ("virDomainGetXMLDesc", [pointer, ctypes.c_uint], pointer),
            ("virDomainUndefine", [pointer], ctypes.c_int),
            ("virDomainFree", [pointer], ctypes.c_int),
            ("virGetLastErrorMessage", [], ctypes.c_char_p),
            ("virSetErrorFunc", [pointer, pointer], None),
        ):
            function = getattr(self._lib, name)
            function.argtypes, function.restype = arguments, result
        self._silence = ctypes.CFUNCTYPE(None, pointer, pointer)(lambda _data, _error: None)
        self._lib.virSetErrorFunc(None, self._silence)
        self._connection = self._lib.virConnectOpen(b"test:///default")

    def define(self, cputune: str) -> tuple[bool, str]:
        """Return whether libvirt accepts the domain, and its message or the <cputune> that it prints."""
        domain = self._lib.virDomainDefineXMLFlags(self._connection, DOMAIN.format(cputune).encode(), 0)
        if not domain:
            return False, self._lib.virGetLastErrorMessage().decode()
        text = ctypes.string_at(self._lib.virDomainGetXMLDesc(domain, _AS_INACTIVE)).decode()
        self._lib.virDomainUndefine(domain)
        self._lib.virDomainFree(domain)
        printed = re.search(r"<cputune>.*</cputune>", text, re.DOTALL)
        return True, re.sub(r">\s+<", "><", printed[0]) if printed else ""


class Samples:
    """Random <cputune>, about half of them valid."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a sample, not a secret

    def cputune(self) -> str:
        """Return one document."""
        return "<cputune>" + "".join(self._tune() for _ in range(self._one_of(1, 1, 2, 2, 3))) + "</cputune>"

    def _one_of(self, *values):
        return self._random.choice(values)

    def _vcpus(self, within: str = "") -> str:
        if within and self._random.random() < 0.8:
            low, _, high = within.partition("-")
            return self._one_of(low, high or low, within)
        return self._one_of(
            "0", "1", "2", "0-1", "0,1", "2-3", "1-2", "0-3,^2", "^0,0-1", "3-5", "8", "3-1", "16384", "^0"
        )

    def _tune(self) -> str:
        vcpus = self._one_of("0-1", "0-1", "2-3", "3", "0-3") if self._random.random() < 0.8 else self._vcpus()
        cachetune = self._random.random() < 0.6
        children = "".join(
            self._monitor(vcpus, cachetune) if self._random.random() < 0.5 else self._allocation(cachetune)
            for _ in range(self._one_of(0, 1, 1, 2, 3))
        )
        tag = "cachetune" if cachetune else "memorytune"
        return f"<{tag} vcpus='{vcpus}'>{children}</{tag}>"

    def _monitor(self, within: str, cachetune: bool) -> str:
        level = f"level='{self._one_of(3, 3, 3, 3, 3, 3, 2)}' " if cachetune else ""
        return f"<monitor {level}vcpus='{self._vcpus(within if within[0] in '03' else '')}'/>"

    def _allocation(self, cachetune: bool) -> str:
        if not cachetune:
            return f"<node id='{self._one_of(0, 1, 2)}' bandwidth='{self._one_of(10, 50, 100, 100, 101)}'/>"
        unit = self._one_of("", " unit='MiB'", " unit='B'", " unit='KB'", " unit='bytes'", " unit='eib'")
        place = f"id='{self._one_of(0, 1, 2)}' level='{self._one_of(3, 3, 3, 2)}'"
        size = f"size='{self._one_of(0, 3, 3, 3000, 1024, 2**64 - 1)}'{unit}"
        return f"<cache {place} type='{self._one_of('both', 'both', 'code', 'data')}' {size}/>"


def main() -> None:
    """Print the record: documents with libvirt's answers, about the same number for each kind of answer."""
    driver, samples = TestDriver(), Samples(9)
    kept: dict[str, list[tuple[str, bool, str]]] = {}
    for _ in range(_TRIES):
        cputune = samples.cputune()
        accepted, said = driver.define(cputune)
        kind = (
            f"ok {cputune.count('<monitor')} {cputune.count('tune vcpus')}"
            if accepted
            else re.sub("'[^']*'|[0-9]+", "", said)
        )
        answers = kept.setdefault(kind, [])
        if len(answers) < _EACH and cputune not in (answer[0] for answer in answers):
            answers.append((cputune, accepted, said))
    lines = [json.dumps(answer) for answers in kept.values() for answer in answers]
    sys.stdout.write("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
