"""Groups for threads other than vCPUs: ``threads`` in tuning files, its values, and what goes together."""

import pytest

from cachetune.domain import format_cputune, load
from cachetune.domain.model import Domain
from cachetune.domain.threads import Threads, parse_threads, threads_in, threads_of_id
from cachetune.findings import Source

CACHE = "<cache id='0' level='3' type='both' size='3' unit='MiB'/>"
KINDS = {
    "emulator": ("threads_emulator", "emulator threads"),
    "iothreads": ("threads_iothreads", "iothreads"),
    "iothreads:1": ("threads_iothreads_1", "iothread 1"),
    "iothreads:1-2,4": ("threads_iothreads_1-2,4", "iothreads 1-2,4"),
    "vhost": ("threads_vhost", "vhost workers"),
}


def tuning(*groups: str) -> str:
    return f"<cputune>{''.join(groups)}</cputune>"


def cachetune(attributes: str, inner: str = CACHE) -> str:
    return f"<cachetune {attributes}>{inner}</cachetune>"


def domain(text: str) -> Domain:
    loaded = load(text.encode(), "web.xml")
    assert loaded.domain is not None, loaded.findings
    return loaded.domain


def findings(text: str) -> list[str]:
    return [f"{found.message} [{found.rule}]" for found in load(text.encode(), "web.xml").findings]


@pytest.mark.parametrize(("text", "id", "shown"), [(text, *rest) for text, rest in KINDS.items()])
def test_a_kind_is_read_named_and_written_the_same_in_every_form(text: str, id: str, shown: str) -> None:  # noqa: A002
    threads = parse_threads(text)
    assert (str(threads), threads.id, threads.shown) == (text, id, shown)
    assert threads_of_id(id) == threads
    assert threads_in(threads.mask) == threads


@pytest.mark.parametrize(
    "text", ["", "vhosts", "Emulator", "emulator:1", "vhost:", "iothreads:", "iothreads:2-1", "iothreads:16384", "0-1"]
)
def test_anything_else_is_no_kind_of_threads(text: str) -> None:
    with pytest.raises(ValueError, match=r"emulator|iothread|number|range"):
        parse_threads(text)


@pytest.mark.parametrize("id", ["vcpus_0-1", "threads_", "threads_emulator_1", "threads_iothreads_", "threads_x", "x"])
def test_other_ids_are_not_those_of_threads(id: str) -> None:  # noqa: A002
    assert threads_of_id(id) is None


@pytest.mark.parametrize("text", KINDS)
def test_a_group_of_threads_has_no_vcpus(text: str) -> None:
    (group,) = domain(tuning(cachetune(f"threads='{text}'"))).groups
    assert (group.vcpus, group.threads, group.id) == (frozenset(), parse_threads(text), parse_threads(text).id)
    assert group.who == parse_threads(text).shown


def test_an_exclusion_in_a_list_of_iothreads_is_applied() -> None:
    (group,) = domain(tuning(cachetune("threads='iothreads:1-4,^2'"))).groups
    assert str(group.threads) == "iothreads:1,3-4"


def test_the_place_of_a_group_of_threads_is_its_attribute() -> None:
    (group,) = domain(tuning(cachetune("threads='vhost'"))).groups
    assert group.at == Source(1, 21, "/cputune/cachetune[1]/@threads", "web.xml")


def test_vcpus_and_each_kind_of_threads_can_all_have_groups() -> None:
    text = tuning(
        *(cachetune(f"threads='{kind}'") for kind in ("emulator", "iothreads:1", "iothreads:2-3", "vhost")),
        cachetune("vcpus='0-1'"),
        "<memorytune threads='vhost'><node id='0' bandwidth='50'/></memorytune>",
    )
    groups = domain(text).groups
    assert [group.id for group in groups] == [
        "threads_emulator",
        "threads_iothreads_1",
        "threads_iothreads_2-3",
        "threads_vhost",
        "vcpus_0-1",
    ]
    assert [len(group.nodes) for group in groups] == [0, 0, 0, 1, 0], "the elements of one kind are one group"


def test_a_monitor_inherits_the_threads_of_its_group_or_names_some_of_them() -> None:
    monitors = "<monitor level='3'/><monitor level='3' threads='iothreads:2'/>"
    (group,) = domain(tuning(cachetune("threads='iothreads:1-2'", CACHE + monitors))).groups
    assert [(str(m.threads), m.id) for m in group.monitors] == [
        ("iothreads:1-2", "threads_iothreads_1-2"),
        ("iothreads:2", "threads_iothreads_2"),
    ]


def test_a_group_of_the_whole_process_can_monitor_its_emulator_threads() -> None:
    (group,) = domain(tuning(cachetune("", CACHE + "<monitor threads='emulator'/><monitor vcpus='0'/>"))).groups
    assert [(m.threads, m.vcpus) for m in group.monitors] == [
        (Threads("emulator"), frozenset()),
        (None, frozenset({0})),
    ]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (
            (cachetune("threads='iothreads'"), "<memorytune threads='iothreads:1'><monitor/></memorytune>"),
            "<memorytune> for iothread 1 overlaps the <cachetune> on line 1 for iothreads [CT103]",
        ),
        (
            (cachetune("threads='iothreads:1-2'"), cachetune("threads='iothreads:2-3'")),
            "<cachetune> for iothreads 2-3 overlaps the <cachetune> on line 1 for iothreads 1-2 [CT103]",
        ),
        (
            (cachetune("threads='vhost'"), cachetune("threads='vhost'")),
            "duplicate <cachetune> for vhost workers; the first is the <cachetune> on line 1 [CT102]",
        ),
        (
            (cachetune(""), "<memorytune threads='emulator'><monitor/></memorytune>"),
            "<memorytune> is for emulator threads, but the <cachetune> on line 1 is for the whole process [CT104]",
        ),
        (
            (cachetune("vcpus='0'", CACHE + "<monitor threads='emulator'/>"),),
            "monitor names emulator threads, but its <cachetune> is for vCPU 0 [CT112]",
        ),
        (
            (cachetune("threads='iothreads:1'", CACHE + "<monitor threads='iothreads'/>"),),
            "monitor names iothreads, but its <cachetune> is for iothread 1 [CT112]",
        ),
        (
            (cachetune("threads='vhost'", CACHE + "<monitor vcpus='1'/>"),),
            "monitor names vCPU 1, but its <cachetune> is for vhost workers [CT112]",
        ),
        (
            (cachetune("", "<monitor threads='iothreads:1-2'/><monitor threads='iothreads:2'/>"),),
            "monitor for iothread 2 overlaps the <monitor> on line 1 for iothreads 1-2 [CT114]",
        ),
    ],
)
def test_groups_and_monitors_with_a_thread_in_common_are_refused(groups: tuple[str, ...], expected: str) -> None:
    assert findings(tuning(*groups)) == [expected]


@pytest.mark.parametrize("inside", [cachetune("threads='vhost'"), cachetune("", "<monitor threads='vhost'/>")])
def test_domain_xml_cannot_have_threads_because_libvirt_would_misread_it(inside: str) -> None:
    found = findings(f"<domain><name>web</name><vcpu>2</vcpu>{tuning(inside)}</domain>")
    assert [text.rpartition(" ")[2] for text in found] == ["[CT165]"]


def test_a_version_of_libvirt_refuses_threads_and_nothing_else_about_it() -> None:
    text = tuning(cachetune("threads='emulator'", CACHE + "<monitor level='3' threads='emulator'/>"))
    loaded = load(text.encode(), "web.xml", libvirt="9.0")
    assert [(found.rule, found.severity) for found in loaded.findings] == [("CT311", "error"), ("CT311", "error")]


def test_the_canonical_form_of_threads_is_read_as_the_same_groups() -> None:
    text = tuning(cachetune("threads='iothreads:1,2'", CACHE + "<monitor level='3'/>"), cachetune("threads='emulator'"))
    first = format_cputune(domain(text))
    assert "<cachetune threads='iothreads:1-2'>" in first
    assert "<monitor level='3' threads='iothreads:1-2'/>" in first
    assert format_cputune(domain(first)) == first


@pytest.mark.parametrize(
    ("attributes", "vcpus", "process"),
    [
        ("vcpus='0'", True, False),
        ("", False, True),
        ("threads='emulator'", True, True),
        ("threads='iothreads'", False, True),
        ("threads='vhost'", False, True),
    ],
)
def test_what_must_be_known_of_a_guest_depends_on_the_kind(attributes: str, vcpus: bool, process: bool) -> None:
    found = domain(tuning(cachetune(attributes)))
    assert (found.needs_vcpus, found.needs_process) == (vcpus, process)


def test_a_crowd_of_iothread_groups_is_read_in_no_time() -> None:
    text = tuning(*(cachetune(f"threads='iothreads:{n}'", "<monitor/>") for n in range(4000)))
    assert len(domain(text).groups) == 4000


@pytest.mark.parametrize("root", ["cputune", "domain"])
def test_a_misspelled_attribute_is_not_answered_with_one_that_is_refused(root: str) -> None:
    text = tuning("<cachetune vcpu='0'><monitor/></cachetune>")
    loaded = load((text if root == "cputune" else f"<domain>{text}</domain>").encode(), "web.xml")
    assert [("threads" in found.hint) for found in loaded.findings] == [root == "cputune"]
