"""Files of records: what is written is read, whatever a kill left of it; settings are compared."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rics_transforms import RICSCrop
from rics_transforms.shifts.windows import Realistic
from rics_transforms.verification.records import Record, RecordsFile, merge_records, read_records
from rics_transforms.verification.settings import Settings

SETTINGS = replace(
    Settings.of(RICSCrop(4), Realistic(1, then="noise:deviation=2"), (8, 8), deltas=[1]),
    source="h\u00e9re",
)
HEAD = SETTINGS.to_json() + "\n"


def record(name: str) -> Record:
    return Record(
        name, 3, (1, 2), ((4, 5), (6, 7)), (0, 1, 0), (0, 1, 0), (3, 8), (True, False),
        (0.7, 0.1), (0.7, 1 / 3), ("ü", "b\n"),
    )  # fmt: skip


def write(path: Path, *names: str, settings: Settings = SETTINGS) -> Path:
    with RecordsFile(path, settings) as file:
        for name in names:
            if name not in file.done:
                file.append(record(name))
    return path


@given(
    st.builds(
        Record,
        id=st.text(),
        label=st.none() | st.integers(0),
        window=st.none() | st.tuples(st.integers(), st.integers()),
        places=st.just(()) | st.lists(st.tuples(st.integers(), st.integers())).map(tuple),
        place=st.just(()),
        input=st.lists(st.integers(0)).map(tuple),
        truth=st.lists(st.floats(0, 1)).map(tuple),
        neighbours=st.lists(st.text()).map(tuple),
    )
)
def test_a_record_survives_json(one: Record) -> None:
    line = one.to_json()
    assert "\n" not in line
    assert Record.from_json(line) == one


def test_a_file_holds_settings_and_records(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "a.jsonl", "x", "y")
    assert read_records(path) == (SETTINGS, [record("x"), record("y")])


def test_the_inputs_of_a_record() -> None:
    assert record("x").inputs == 2


# --- a run that was killed -----------------------------------------------------------------------


def test_every_possible_cut_is_continued_to_the_same_file(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.jsonl", "x", "y").read_bytes()
    for length in range(len(whole) + 1):
        path = tmp_path / "cut.jsonl"
        path.write_bytes(whole[:length])
        cut_in_a_record = b"\n" in whole[:length] and whole[length - 1 : length] != b"\n"
        if cut_in_a_record:
            with pytest.warns(UserWarning, match="cut off in the middle"):
                write(path, "x", "y")
        else:
            write(path, "x", "y")
        assert path.read_bytes() == whole


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "x")
    with pytest.raises(ValueError, match=r"these differ: seed = 1, not 0\. Choose another file"):
        write(path, "y", settings=replace(SETTINGS, seed=1))
    write(path, "y", settings=replace(SETTINGS, source="elsewhere", command="another"))
    assert len(read_records(path)[1]) == 2


@pytest.mark.parametrize(("content", "message"), [
    ("", "to hold records, but it has no complete line"),
    ("hello\n", "to begin with settings that `verify` wrote: Expecting value"),
    ("[]\n", "to begin with settings that `verify` wrote: it holds no settings"),
    ('{"settings": 3}\n', "to begin with settings that `verify` wrote: it holds no settings"),
    (HEAD + "nothing\n", "a record in line 2"),
    (HEAD + '{"id": "x"}\n', "a record in line 2"),
    (HEAD.replace('"disturbance"', '"disturbed"').replace(SETTINGS.version, "0.0.1"),
     r"version 0\.0\.1 wrote it, .* differ from those of .* in disturbance, disturbed$"),
])  # fmt: skip
def test_files_of_something_else_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_records(path)


# --- merging -------------------------------------------------------------------------------------


def test_merging_is_the_union(tmp_path: Path) -> None:
    first = write(tmp_path / "1.jsonl", "x", "y")
    second = write(tmp_path / "2.jsonl", "y", "z", settings=replace(SETTINGS, source="there"))
    settings, records = merge_records([first, second])
    assert settings == SETTINGS
    assert records == [record("x"), record("y"), record("z")]


def test_merging_refuses_what_does_not_belong_together(tmp_path: Path) -> None:
    first = write(tmp_path / "1.jsonl", "x")
    other = write(tmp_path / "2.jsonl", "x", settings=replace(SETTINGS, n=(9, 9)))
    with pytest.raises(ValueError, match=r"n = \(8, 8\), not \(9, 9\)"):
        merge_records([first, other])
    with RecordsFile(tmp_path / "3.jsonl", SETTINGS) as file:
        file.append(replace(record("x"), label=4))
    with pytest.raises(ValueError, match="'x' has another one in"):
        merge_records([first, tmp_path / "3.jsonl"])
    with pytest.raises(ValueError, match="at least one records file"):
        merge_records([])
