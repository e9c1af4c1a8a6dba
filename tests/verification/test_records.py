"""Files of records: what is written is read, whatever a kill left of it; settings are compared."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rics_transforms import RICSCrop, ShiftReport
from rics_transforms.shifts.windows import Realistic
from rics_transforms.verification.records import Record, RecordsFile, merge_records, read_records
from rics_transforms.verification.settings import Settings

SETTINGS = replace(
    Settings.of(RICSCrop(4), Realistic(1, then="noise:deviation=2"), (8, 8), deltas=[1]),
    source="h\u00e9re", model="net", neighbours="others",
)  # fmt: skip
VIEWS = (0, 1, *[0] * 8)  # of as many views
HEAD = SETTINGS.to_json() + "\n"


def record(name: str) -> Record:
    return Record(
        name, 3, (1, 2), ((3, 4), (4, 4)), VIEWS, VIEWS, (3, 8), (True, False),
        (0.7, 0.1), (0.7, 1 / 3), ("ü", "b\n"), scene="4d",
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
        id=st.text(st.characters(exclude_categories=[])),
        label=st.none() | st.integers(0),
        window=st.none() | st.tuples(st.integers(), st.integers()),
        places=st.just(()) | st.lists(st.tuples(st.integers(), st.integers())).map(tuple),
        place=st.just(()),
        input=st.lists(st.integers(0)).map(tuple),
        truth=st.lists(st.floats(0, 1)).map(tuple),
        scene=st.text(),
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


# --- tampering -----------------------------------------------------------------------------------

DEEP = "[" * 100_000 + "]" * 100_000
ODD = [None, True, -1, 10**400, 0.5, "x", [], {}, [[]], [None], ["x"], [0], [-1], [9] * 10,
       [[1, 2]], [[-(10**9), 4], [4, 4]], [True] * 10, [0.5] * 10, [1] * 9]  # fmt: skip


def read_with(tmp_path: Path, settings: str, *lines: str) -> object:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([settings, *lines, ""]))
    return read_records(path)


@pytest.mark.parametrize("key", [field.name for field in fields(Record)])
def test_no_record_is_read_that_could_not_be_measured(tmp_path: Path, key: str) -> None:
    good = json.loads(record("x").to_json())
    for value in ODD:
        line = json.dumps({**good, key: value})
        try:
            _, (read,) = read_with(tmp_path, HEAD.strip(), line)
        except ValueError as error:
            assert "a record in line 2 of" in str(error) and "\n" not in str(error)
        else:  # another text, label or share, or nothing where nothing may be
            assert getattr(read, key) == (() if value == [] else value)
            ShiftReport.from_records([read], SETTINGS)
    with pytest.raises(ValueError, match=f"in line 3 of .*, but it differs in {key}"):
        less = {name: value for name, value in good.items() if name != key}
        read_with(tmp_path, HEAD.strip(), record("y").to_json(), json.dumps(less))


@pytest.mark.parametrize("key", [field.name for field in fields(Settings)])
def test_no_settings_are_read_that_nothing_was_measured_with(tmp_path: Path, key: str) -> None:
    good = json.loads(HEAD)["settings"]
    for value in ODD:
        line = json.dumps({"settings": {**good, key: value}})
        try:
            settings, records = read_with(tmp_path, line, record("x").to_json())
        except ValueError as error:
            assert "to begin with settings" in str(error) or "in line 2 of" in str(error)
        else:
            str(ShiftReport.from_records(records, settings))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-0.5", "1.5"])
def test_no_number_is_read_that_is_no_share(tmp_path: Path, number: str) -> None:
    line = record("x").to_json().replace("[0.7,0.1]", f"[0.7,{number}]")
    with pytest.raises(ValueError, match="a record in line 2"):
        read_with(tmp_path, HEAD.strip(), line)


@pytest.mark.parametrize(
    "line", ["", "[]", "3", "null", DEEP, '{"id":' + DEEP + "}", "\x00", '{"id"']
)
def test_no_line_is_read_that_is_no_record(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match="a record in line 3"):
        read_with(tmp_path, HEAD.strip(), record("x").to_json(), line, record("y").to_json())
    with pytest.raises(ValueError, match="to begin with settings"):
        read_with(tmp_path, line, record("x").to_json())


@pytest.mark.parametrize("depth", [500, 900, 2000, 20_000])
def test_no_nesting_ends_in_a_traceback(tmp_path: Path, depth: int) -> None:
    line = record("x").to_json().replace('"id":"x"', '"id":' + "[" * depth + "]" * depth)
    with pytest.raises(ValueError, match="a record in line 2"):
        read_with(tmp_path, HEAD.strip(), line)


def test_an_image_has_one_record_unless_it_was_replaced(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 4 of .*, but 'x' has another one above"):
        read_with(tmp_path, HEAD.strip(), *(record(name).to_json() for name in "xyx"))
    newer = replace(record("x"), scene="other")
    _, records = read_with(tmp_path, HEAD.strip(), record("x").to_json(), newer.to_json())
    assert records == [newer]


def test_records_of_another_origin_are_not_continued(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "x", settings=replace(SETTINGS, origin="images of a"))
    with pytest.raises(ValueError, match="are 'images of a', not 'images of b'. Choose"):
        write(path, "y", settings=replace(SETTINGS, origin="images of b"))
