from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.simulate.traces import read_files, read_trace, read_traces


@pytest.fixture
def write(tmp_path: Path):
    def writer(text: str, name: str = "trace.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return writer


def test_a_regular_file(write):
    trace = read_trace(write("timestamp,rps\n2026-01-01T00:00:00Z,1.5\n2026-01-01T00:01:00Z,2\n"), "rps")
    assert (trace.start_seconds, trace.step_seconds, trace.repairs) == (1_767_225_600.0, 60.0, ())
    assert trace.demand.tolist() == [1.5, 2.0]


def test_gzip_and_relative_seconds(write):
    trace = read_trace(write("t_seconds,rps\n0,1\n600,2\n1200,3\n", "trace.csv.gz"), "rps")
    assert (trace.start_seconds, trace.step_seconds) == (0.0, 600.0)
    assert trace.demand.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["trace.CSV", "trace.CSV.GZ", "trace.PARQUET"])
def test_a_suffix_may_be_in_capitals(tmp_path: Path, name: str):
    path, frame = tmp_path / name, pd.DataFrame({"timestamp": [0, 60], "rps": [1.0, 2.0]})
    if name.endswith("PARQUET"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, compression="gzip" if name.endswith("GZ") else None)
    assert read_trace(path).demand.tolist() == [1.0, 2.0]


def test_the_hash_is_that_of_the_file_on_disk(write):
    path = write("t_seconds,rps\n0,1\n600,2\n", "trace.csv.gz")
    assert read_trace(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_parquet(tmp_path: Path):
    path = tmp_path / "trace.parquet"
    pd.DataFrame({"timestamp": ["2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"], "rps": [1.0, None]}).to_parquet(path)
    trace = read_trace(path, "rps")
    assert trace.step_seconds == 300.0
    assert trace.demand[0] == 1.0
    assert np.isnan(trace.demand[1])


def test_the_only_other_column_need_not_be_named(write):
    assert read_trace(write("timestamp,rps\n0,1\n60,2\n")).name == "trace.csv:rps"


def test_without_times_a_row_is_a_step(write):
    trace = read_trace(write("rps\n1\n2\n3\n"), "rps", 30.0)
    assert (trace.step_seconds, trace.demand.tolist()) == (30.0, [1.0, 2.0, 3.0])
    assert read_trace(write("rps\n1\n2\n"), "rps").step_seconds == 60.0


def test_numbered_rows_are_steps_not_seconds(write):
    trace = read_trace(write("t,demand\n0,1\n1,2\n3,4\n"), "demand")
    assert trace.step_seconds == 60.0
    assert np.isnan(trace.demand[2])
    assert trace.demand[3] == 4.0


def test_a_column_named_t_that_counts_seconds(write):
    trace = read_trace(write("t,demand\n0,1\n300,2\n600,3\n"), "demand")
    assert (trace.step_seconds, trace.demand.tolist()) == (300.0, [1.0, 2.0, 3.0])
    assert read_trace(write("t,demand\n0,1\n"), "demand").demand.tolist() == [1.0]


@pytest.mark.parametrize(
    "text",
    [
        "when,rps\n2023-11-14T00:00:00Z,1\n2023-11-14T01:00:00Z,2\n2023-11-14T03:00:00Z,4\n",
        "when,rps\n2023-11-14 00:00,1\n2023-11-14 01:00,2\n2023-11-14 03:00,4\n",
        "unique_id,when,rps\na,2023-11-14T00:00:00Z,1\na,2023-11-14T01:00:00Z,2\na,2023-11-14T03:00:00Z,4\n",
        ",when,rps\n0,2023-11-14T00:00:00Z,1\n1,2023-11-14T01:00:00Z,2\n2,2023-11-14T03:00:00Z,4\n",
    ],
    ids=["zone", "no zone", "after the name of a series", "after the number of a row"],
)
def test_the_first_column_tells_the_time_whatever_its_name(write, text: str):
    trace = read_trace(write(text), "rps")
    assert (trace.start_seconds, trace.step_seconds) == (1_699_920_000.0, 3_600.0)
    assert len(trace.demand) == 4
    assert trace.repairs == ("1 of 4 steps have no value and are unknown",)


@pytest.mark.parametrize("unit", [1, 1_000])
def test_unix_times_of_another_name_are_told_and_said(write, unit: int):
    rows = "".join(f"{(1_700_000_000 + at) * unit},{at}\n" for at in (0, 300, 900))
    trace = read_trace(write(f"when,rps\n{rows}"))  # what tells the time is not the demand
    assert (trace.start_seconds, trace.step_seconds, len(trace.demand)) == (1_700_000_000.0, 300.0, 4)
    assert trace.repairs[0] == "column 'when' was taken for Unix times: steps of 300 s"


@pytest.mark.parametrize(
    "first",
    [(0, 1, 3), (100, 160, 220), (20231114, 20231115, 20231116), (1.5e9, 1.6e9, 1.4e9), (1.5e9,) * 3, ("a", "b", "c")],
    ids=["a counter", "a load", "a date without dashes", "a load that falls", "a limit", "words"],
)
def test_what_is_no_time_is_not_taken_for_one(write, first: tuple[object, ...]):
    path = write("x,rps\n" + "".join(f"{x},{at}\n" for at, x in enumerate(first)))
    trace = read_trace(path, "rps")
    assert (trace.start_seconds, trace.step_seconds, trace.demand.tolist()) == (0.0, 60.0, [0.0, 1.0, 2.0])
    assert trace.repairs == ("no time column: steps of 60 s assumed",)
    with pytest.raises(ConfigError, match="name the demand column; there are 'x', 'rps'"):
        read_trace(path)


def test_the_demand_is_no_time_of_its_own(write):
    assert read_trace(write("rps,day\n1700000000,1\n1700000060,2\n"), "rps").demand.tolist() == [1.7e9, 1.70000006e9]


def test_a_cell_that_is_no_time_among_times_is_named(write):
    with pytest.raises(ConfigError, match="line 3, column 'when': 'yesterday' is not a time"):
        read_trace(write("when,rps\n2023-11-14T00:00:00Z,1\nyesterday,2\n"), "rps")


@pytest.mark.parametrize(
    ("text", "step_seconds", "said"),
    [
        ("rps\n1\n2\n", None, ("no time column: steps of 60 s assumed",)),
        ("rps\n1\n2\n", 30.0, ("no time column: each row is a step of 30 s",)),
        ("t,rps\n0,1\n1,2\n", None, ("column 't' numbers the steps: steps of 60 s assumed",)),
        ("t,rps\n0,1\n1,2\n", 30.0, ()),
        ("step,rps\n0,1\n5,2\n10,3\n", None, ("column 'step' was taken for seconds: steps of 5 s",)),
        ("t,rps\n2026-01-01T00:00:00Z,1\n2026-01-01T00:01:00Z,2\n", None, ()),
        ("t,rps\n1700000000,1\n1700000001,2\n", None, ()),
        ("t_seconds,rps\n0,1\n5,2\n", None, ()),
    ],
)
def test_what_had_to_be_assumed_of_time_is_said(write, text: str, step_seconds: float | None, said: tuple[str, ...]):
    assert read_trace(write(text), "rps", step_seconds).repairs == said


@pytest.mark.parametrize("empty", ["", "NaN", "null", "None"])
def test_a_gap_stays_a_gap_and_is_said_as_a_missing_row_is(write, empty: str):
    trace = read_trace(write(f"timestamp,rps\n0,1\n60,{empty}\n180,3\n"), "rps")
    assert np.isnan(trace.demand).tolist() == [False, True, True, False]
    assert trace.repairs == ("2 of 4 steps have no value and are unknown",)
    assert read_trace(write(f"t,rps\n0,1\n1,{empty}\n"), "rps", 60.0).repairs == (
        "1 of 2 steps have no value and are unknown",
    )


def test_missing_rows_are_unknown_and_said(write):
    trace = read_trace(write("timestamp,rps\n0,1\n60,2\n240,5\n300,6\n"), "rps")
    assert np.isnan(trace.demand).tolist() == [False, False, True, True, False, False]
    assert trace.repairs == ("2 of 6 steps have no value and are unknown",)


def test_disorder_is_sorted_and_said(write):
    trace = read_trace(write("timestamp,rps\n0,1\n120,3\n60,2\n180,4\n"), "rps")
    assert trace.demand.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert trace.repairs == ("1 rows out of order were sorted, the first at line 4",)


def test_duplicates_are_averaged_and_said(write):
    trace = read_trace(write("timestamp,rps\n0,1\n60,2\n60,4\n120,3\n"), "rps")
    assert trace.demand.tolist() == [1.0, 3.0, 3.0]
    assert trace.repairs == ("1 duplicate times were averaged, the first at line 4",)


def test_coarser_steps_average_what_is_known(write):
    trace = read_trace(write("timestamp,rps\n0,1\n60,3\n120,\n180,8\n240,5\n"), "rps", 120.0)
    assert trace.demand.tolist() == [2.0, 8.0, 5.0]
    assert "2 rows of 60 s were averaged" in trace.repairs[-1]


def test_finer_steps_hold_each_row(write):
    trace = read_trace(write("timestamp,rps\n0,1\n300,2\n"), "rps", 150.0)
    assert trace.demand.tolist() == [1.0, 1.0, 2.0, 2.0]
    assert "held for 2 steps" in trace.repairs[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timestamp,rps\n0,1\n60,abc\n", "line 3, column 'rps': 'abc' is not a number"),
        ("timestamp,rps\n0,1\n60,-2\n", "line 3, column 'rps': -2 cannot be a demand"),
        ("timestamp,rps\n0,1\n60,inf\n", "line 3, column 'rps': inf cannot be a demand"),
        ("timestamp,rps\n0,1\nyesterday,2\n", "line 3, column 'timestamp': 'yesterday' is not a time"),
        ("timestamp,rps\n0,1\n,2\n", "line 3, column 'timestamp': '' is not a time"),
        (
            "timestamp,rps\n1969-12-31T23:59:00Z,1\n",
            "line 2, column 'timestamp': '1969-12-31T23:59:00Z' is before 1970",
        ),
        ("timestamp,rps\n0,1\n-60,2\n", "line 3, column 'timestamp': '-60' is before 1970"),
        ("timestamp,load\n0,1\n", "no column 'rps'; there are 'timestamp', 'load'"),
        ("timestamp,rps\n", "no rows"),
        ("", "no header"),
        ("0,1\n60,2\n", "line 1: no header, but numbers: 0, 1"),
        ("timestamp,rps,rps\n0,1,2\n", "2 columns are named 'rps'"),
        ("timestamp,rps\n0,1\n60,61,5\n", "line 3: 3 cells, but the header names 2"),
        ("timestamp,rps\n0,1\n1e30,2\n", "line 3, column 'timestamp': '1e30' is not a time"),
        (f"timestamp,rps\n0,1\n60,{'9' * 200_000}\n", "line 3: not CSV: field larger than field limit"),
        ("timestamp,rps\n0,1\n1e-300,2\n1e10,3\n", "times span inf steps, but there are 3 rows"),
        ("timestamp,rps\n0,1\n60,2\n9000000000,3\n", "times span 150000001 steps, but there are 3 rows"),
    ],
)
def test_what_cannot_be_used_is_named(write, text: str, message: str):
    path = write(text)
    with pytest.raises(ConfigError) as error:
        read_trace(path, "rps")
    assert message in str(error.value)
    assert "trace.csv" in str(error.value)


def test_several_columns_must_be_chosen_from(write):
    with pytest.raises(ConfigError, match="name the demand column; there are 'a', 'b'"):
        read_trace(write("timestamp,a,b\n0,1,2\n"))


def test_steps_that_do_not_fit(write):
    with pytest.raises(ConfigError, match="60 s apart, which 90 s steps do not fit"):
        read_trace(write("timestamp,rps\n0,1\n60,2\n"), "rps", 90.0)


def test_steps_that_are_too_many(write):
    with pytest.raises(ConfigError, match="2 rows make 40000000 steps of 1 s, at most 20000000"):
        read_trace(write("timestamp,rps\n0,1\n20000000,2\n"), "rps", 1.0)


def test_steps_that_are_too_short(write):
    for text in ("timestamp,rps\n0,1\n60,2\n", "rps\n1\n2\n"):
        with pytest.raises(ConfigError, match=r"trace.csv: steps of 0\.001 s, must be at least 1 s"):
            read_trace(write(text), "rps", 0.001)
    halves = write("timestamp,rps\n0,1\n0.5,3\n1,5\n1.5,7\n")
    with pytest.raises(ConfigError, match=r"trace.csv:rps: steps of 0\.5 s, must be at least 1 s"):
        read_trace(halves)
    assert read_trace(halves, step_seconds=1.0).demand.tolist() == [2.0, 6.0]


def test_a_step_that_is_longer_than_the_trace(write):
    with pytest.raises(ConfigError, match=r"2 rows of 60 s are less than one step of 1\.2e\+15 s"):
        read_trace(write("timestamp,rps\n0,1\n60,2\n"), "rps", 1.2e15)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00binary", b"PAR1 not really"])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes):
    for name in ("trace.csv", "trace.csv.gz", "trace.parquet"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=name):
            read_trace(path, "rps")


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_trace(tmp_path / "none.csv", "rps")


LONG = "unique_id,ds,y\na,2026-01-01T00:00:00Z,1\nb,2026-01-01T00:00:00Z,10\na,2026-01-01T00:01:00Z,2\n"


def test_a_column_of_names_tells_series_apart(write):
    found = {trace.name: trace.demand.tolist() for trace in read_traces(write(LONG))}
    assert found == {"a": [1.0, 2.0], "b": [10.0]}  # not the mean of both, 5.5, at midnight


def test_one_series_is_not_made_of_several(write):
    with pytest.raises(ConfigError, match=r"'unique_id' names 2 series, one is needed: 'a', 'b'"):
        read_trace(write(LONG))
    assert read_trace(write(LONG.replace("b,", "a,").replace(",10", ",1"))).name == "a"


@pytest.fixture
def alike(tmp_path: Path):
    def writer(text: str, *folders: str) -> list[Path]:
        paths = [tmp_path / folder / "load.csv" for folder in folders]
        for path in paths:
            path.parent.mkdir(parents=True)
            path.write_text(text)
        return paths

    return writer


def test_files_of_one_name_are_told_apart_by_as_much_of_the_folder_as_needed(alike):
    traces = read_files(alike("timestamp,rps\n0,1\n60,2\n", "a/x", "b/x", "b/y"))
    assert [trace.name for trace in traces] == ["a/x/load.csv:rps", "b/x/load.csv:rps", "y/load.csv:rps"]


def test_series_of_one_name_are_told_apart_by_their_files(alike, write):
    one, other = alike(LONG, "a", "b")
    alone = write(LONG.replace("\na,", "\nc,"), "alone.csv")
    names = [trace.name for trace in read_files([one, other])]
    assert names == ["a/load.csv:a", "a/load.csv:b", "b/load.csv:a", "b/load.csv:b"]
    assert [trace.name for trace in read_files([one, alone])] == ["a", "load.csv:b", "c", "alone.csv:b"]


def test_a_row_of_no_series_is_named(write):
    with pytest.raises(ConfigError, match=r"line 4, column 'unique_id': no series is named"):
        read_traces(write(LONG.replace("\na,2026-01-01T00:01", "\n,2026-01-01T00:01")))


def log_of(seconds: list[float], values: list[int] | None = None) -> str:
    rows = [f"{at},{value}" for at, value in zip(seconds, values or [1] * len(seconds), strict=True)]
    return "\n".join(["Timestamp,Tokens", *rows]) + "\n"


def test_many_rows_at_one_instant_are_a_log_and_refused_by_name(write):
    path = write(log_of([5, 5, 5, 6, 6, 9], [1096, 2878, 168, 10, 20, 30]))
    with pytest.raises(ConfigError, match=r"3 of 6 rows have the time of another \(column 'Timestamp'\).*--events"):
        read_trace(path, "Tokens")


def test_rows_at_instants_of_their_own_are_a_log_and_refused_by_name(write):
    moments = np.cumsum(np.random.default_rng(7).exponential(0.7, 200))
    with pytest.raises(ConfigError, match="the 200 rows are at no regular interval"):
        read_trace(write(log_of([round(float(at), 3) for at in moments])), "Tokens")


def test_samples_that_come_late_are_no_log(write):
    # A scrape every 15 s, up to 2 s late, and an hour of it missing.
    late = np.random.default_rng(7).uniform(0.0, 2.0, 400)
    moments = [15.0 * i + float(late[i]) for i in range(400) if not 100 <= i < 340]
    read_trace(write(log_of([1_700_000_000 + round(at, 3) for at in moments])), "Tokens")


def test_events_are_counted_or_summed_per_second_of_a_step(write):
    # Minute 0: 3 events of 60 tokens in all; minute 1: none, and that is a load of 0; minute 2 may be cut by the end.
    path = write(log_of([0, 0, 59.5, 121, 125], [10, 20, 30, 40, 50]))
    counted = read_trace(path, step_seconds=60.0, events=True)
    assert counted.demand.tolist() == [3 / 60, 0.0]
    summed = read_trace(path, "Tokens", 60.0, events=True)
    assert summed.demand.tolist() == [1.0, 0.0]
    assert summed.repairs == ("5 values of events were added up in steps of 60 s",)


def test_events_without_times_are_refused(write):
    with pytest.raises(ConfigError, match="events need a column that tells their time"):
        read_trace(write("tokens\n1\n2\n"), events=True)


@pytest.mark.parametrize(
    "text",
    [
        'sep=;\nTime;"chat"\n2026-11-01T00:00:00Z;"1,200"\n2026-11-01T00:01:00Z;1200\n',
        "Time;chat\n2026-11-01T00:00:00Z;1200\n2026-11-01T00:01:00Z;1200.0\n",
        'Time,chat\n2026-11-01T00:00:00Z,"1,200.0"\n2026-11-01T00:01:00Z,1200\n',
    ],
)
def test_spreadsheets_separators_and_thousands_are_read(write, text):
    assert read_trace(write(text)).demand.tolist() == [1200.0, 1200.0]


def test_a_decimal_comma_is_no_thousand(write):
    with pytest.raises(ConfigError, match="'1,20' is not a number"):
        read_trace(write('Time,chat\n2026-11-01T00:00:00Z,"1,20"\n'))
