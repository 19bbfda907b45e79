"""The directory with one file per guest: which file belongs to which guest, and hostile names and files."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cachetune.errors import InputError, UnreadableFileError, UnwritableFileError, WrongGuestError
from cachetune.guests import tuning_files
from cachetune.guests.tuning_files import TuningFilesReader, names_in, stage_tuning_file, tuning_of

UNSAFE = ["", ".", "..", "../web", "sub/web", "/etc/web", ".hidden", "web\0", "w" * 252, "\udcff"]
DOMAIN = """<domain type='kvm'{id}>
  <name>{name}</name>
  <vcpu>4</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='6912' unit='KiB'/>
    </cachetune>
  </cputune>
</domain>
"""


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_a_guest_without_a_file_has_no_tuning(tmp_path: Path) -> None:
    assert tuning_of("web", tmp_path) is None
    assert tuning_of("web", tmp_path / "missing") is None


def test_the_file_of_a_guest_contains_its_request(tmp_path: Path) -> None:
    write(tmp_path, "web.xml", DOMAIN.format(name="web", id=""))
    found = tuning_of("web", tmp_path)
    assert found is not None
    assert found.domain is not None
    assert found.domain.name == "web"
    assert [group.id for group in found.domain.groups] == ["vcpus_0-1"]


def test_live_xml_in_the_directory_loses_its_domain_id(tmp_path: Path) -> None:
    write(tmp_path, "web.xml", DOMAIN.format(name="web", id=" id='7'"))
    found = tuning_of("web", tmp_path)
    assert found is not None
    assert found.domain is not None
    assert found.domain.id is None


def test_xml_with_errors_is_returned_with_its_findings(tmp_path: Path) -> None:
    path = write(tmp_path, "web.xml", DOMAIN.format(name="web", id="").replace("level", "levl"))
    found = tuning_of("web", tmp_path)
    assert found is not None
    assert found.domain is None
    assert found.name == str(path)
    assert any(finding.severity == "error" for finding in found.findings)


def test_the_xml_of_another_guest_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "web.xml", DOMAIN.format(name="db", id=""))
    with pytest.raises(WrongGuestError, match="describes guest 'db', not 'web'"):
        tuning_of("web", tmp_path)


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_leads_out_of_the_directory_has_no_file(tmp_path: Path, name: str) -> None:
    guests_d = tmp_path / "guests.d"
    (guests_d / "sub").mkdir(parents=True)
    for place in ("web.xml", "guests.d/.hidden.xml", "guests.d/.xml", "guests.d/sub/web.xml", "guests.d/...xml"):
        write(tmp_path, place, DOMAIN.format(name="web", id=""))
    assert tuning_of(name, guests_d) is None


@pytest.mark.parametrize("name", ["web server", "dömäne", "a.b_c-d", "-lead", "w" * 251])
def test_a_name_with_odd_characters_has_its_own_file(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{name}.xml", DOMAIN.format(name=name, id=""))
    assert names_in(tmp_path) == (name,)
    found = tuning_of(name, tmp_path)
    assert found is not None
    assert found.domain is not None
    assert found.domain.name == name


def test_anything_but_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.xml")
    (tmp_path / "directory.xml").mkdir()
    (tmp_path / "dangling.xml").symlink_to(tmp_path / "nowhere")
    for name in ("fifo", "directory", "dangling"):
        with pytest.raises(UnreadableFileError, match="cannot read"):
            tuning_of(name, tmp_path)


def test_names_come_from_xml_files_that_are_not_hidden(tmp_path: Path) -> None:
    for name in ("web.xml", "db.xml", "web.xml~", ".web.xml", ".xml", "README", "web.xml.swp"):
        write(tmp_path, name, "")
    assert names_in(tmp_path) == ("db", "web")


def test_a_missing_directory_differs_from_an_empty_one(tmp_path: Path) -> None:
    assert names_in(tmp_path) == ()
    assert names_in(tmp_path / "missing") is None


def test_a_file_instead_of_the_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="cannot read"):
        names_in(write(tmp_path, "file", ""))


def test_a_tuning_file_is_checked_against_the_guests_vcpu_count(tmp_path: Path) -> None:
    cachetune = "<cachetune vcpus='0-7'><monitor level='3' vcpus='0-7'/></cachetune>"
    write(tmp_path, "web.xml", f"<cputune>{cachetune}</cputune>")
    for vcpus, expected in ((None, "vcpus_0-7"), (4, "vcpus_0-3")):
        found = tuning_of("web", tmp_path, vcpus)
        assert found is not None
        assert found.domain is not None
        assert [group.id for group in found.domain.groups] == [expected]


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_new_file_replaces_the_old_one_at_once_and_everybody_may_read_it(tmp_path: Path, umask: int) -> None:
    old = write(tmp_path, "web.xml", "<cputune/>")
    before = os.umask(umask)
    try:
        staged = stage_tuning_file("web", "<cputune></cputune>", tmp_path)
        assert (names_in(tmp_path), old.read_text()) == (("web",), "<cputune/>")
        staged.commit()
    finally:
        os.umask(before)
    assert old.read_text() == "<cputune></cputune>"
    assert old.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["web.xml"]


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_leads_out_of_the_directory_cannot_be_saved(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot have a tuning file"):
        stage_tuning_file(name, "<cputune/>", tmp_path / "guests.d")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["w" * length for length in range(236, 256)] + ["ü" * 121, "ü" * 127])
def test_the_longest_names_are_saved_or_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    """The new file beside the old one has a longer name than the file itself."""
    try:
        stage_tuning_file(name, "<cputune/>\n", tmp_path).commit()
    except (InputError, UnwritableFileError):
        assert len(name.encode()) > 236
        assert list(tmp_path.iterdir()) == []
    else:
        assert len(name.encode()) < 249
        assert [path.name for path in tmp_path.iterdir()] == [f"{name}.xml"]


class Reader:
    """A reader of files that have been there for a while, which counts what it reads."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self.read_names = directory, list[str]()
        self.reader = TuningFilesReader(directory, clock=lambda: time.time() + 60)
        real = tuning_files.tuning_of
        monkeypatch.setattr(
            tuning_files, "tuning_of", lambda name, *others: self.read_names.append(name) or real(name, *others)
        )

    def sizes(self, vcpus: int = 4) -> dict[str, str]:
        """The size that each file requests, "" if it is invalid."""
        files = self.reader.read({"web": vcpus}) or {}
        return {n: str(file.domain.groups[0].caches[0].size) if file.domain else "" for n, file in files.items()}


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    write(tmp_path, "web.xml", DOMAIN.format(name="web", id=""))
    write(tmp_path, "db.xml", DOMAIN.format(name="db", id=""))
    return Reader(tmp_path, monkeypatch)


def test_an_untouched_file_is_read_once(reader: Reader) -> None:
    first = reader.sizes()
    assert all(reader.sizes() == first for _ in range(3))
    assert sorted(reader.read_names) == ["db", "web"]


def _with_old_times(path: Path, text: str) -> None:
    """As rsync -t and cp -p do."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _through_a_link(path: Path, text: str) -> None:
    target = path.with_name("elsewhere")
    target.write_text(text)
    path.unlink()
    path.symlink_to(target.name)


EDITS: dict[str, Callable[[Path, str], object]] = {
    "in place": lambda path, text: path.write_text(text),
    "replaced": lambda path, text: write(path.parent, "part", text).rename(path),
    "in place, with the times of before": _with_old_times,
    "replaced by a link": _through_a_link,
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_is_seen_even_if_size_and_times_are_the_same(
    reader: Reader, edit: Callable[[Path, str], object]
) -> None:
    before = reader.sizes()
    time.sleep(0.02)  # the change time of a file moves in steps of a few milliseconds
    path = reader.directory / "web.xml"
    edit(path, path.read_text().replace("6912", "4608"))
    after = reader.sizes()
    assert after["db"] == before["db"]
    assert after["web"] != before["web"]
    assert reader.read_names.count("db") == 1


def test_a_file_that_was_changed_a_moment_ago_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "web.xml", DOMAIN.format(name="web", id=""))
    reader = Reader(tmp_path, monkeypatch)
    reader.reader = TuningFilesReader(tmp_path)
    for size in ("4608", "2304", "6912"):
        write(tmp_path, "web.xml", DOMAIN.format(name="web", id="").replace("6912", size))
        assert reader.sizes()["web"] == f"{size} KiB"


def test_a_file_is_checked_again_for_another_number_of_vcpus(reader: Reader) -> None:
    for vcpus in (4, 4, 2, 2):
        reader.sizes(vcpus)
    assert (reader.read_names.count("web"), reader.read_names.count("db")) == (2, 1)


def test_a_directory_that_comes_back_is_read_again(reader: Reader) -> None:
    before = reader.sizes()
    away = reader.directory.rename(reader.directory.with_name("away"))
    assert reader.reader.read({}) is None
    away.rename(reader.directory)
    assert reader.sizes() == before
