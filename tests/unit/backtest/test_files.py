"""Every form of a history file gives the same samples, and what is no sample is named with its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tocsin.backtest.errors import HistoryError
from tocsin.backtest.files import read_file
from tocsin.backtest.intake import Intake
from tocsin.backtest.store import Store
from tocsin.schemas.labels import parse_series_key

AT_MS = 1_396_310_400_000  # 2014-04-01 00:00:00
Row = tuple[str, dict[str, str], int, float]
WANTED: list[Row] = [("cpu", {}, AT_MS, 21.5), ("cpu", {}, AT_MS + 300_000, -3.0)]


def taken(path: Path, metric: str | None = None) -> tuple[list[Row], Intake]:
    intake = Intake(Store())
    read_file(path, intake, metric)
    intake.store.close()
    found = []
    for batch in intake.store.batches():
        for number, at_ms, value in zip(
            batch.number.tolist(), batch.at_ms.tolist(), batch.values.tolist(), strict=True
        ):
            found.append((*parse_series_key(intake.store.interner.key(number)), at_ms, value))
    return found, intake


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,value\n2014-04-01 00:00:00,21.5\n2014-04-01 00:05:00,-3\n",
        "timestamp,value\r\n2014-04-01T00:05:00Z,-3\r\n2014-04-01T00:00:00Z,21.5\r\n",
        "value,timestamp\n21.5,2014-04-01T02:00:00+02:00\n-3.0,2014-04-01 00:05\n",
        f"\ufefftimestamp,value\n{AT_MS},21.5\n{AT_MS + 300_000},-3",
        f"timestamp,value\n{AT_MS}.4,21.5\n\n2014-04-01 00:05:00.000,-3\n",
        f"name,value,timestamp\ncpu,21.5,{AT_MS}\ncpu,-3,{AT_MS + 300_000}\n",
        f'name,value,timestamp,note\n"cpu",21.5,{AT_MS},\ncpu,-3,{AT_MS + 300_000},""\n',
    ],
)
def test_every_form_of_csv_gives_the_same(text: str, tmp_path: Path) -> None:
    plain, packed = tmp_path / "cpu.csv", tmp_path / "cpu.csv.gz"
    plain.write_bytes(text.encode())
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        found, intake = taken(path)
        assert found == WANTED
        assert not intake.rejected


def test_labels_are_the_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text(f'host,timestamp,value,zone\na,{AT_MS},1,"x, y\nz"\nb,{AT_MS},2,\n')
    found, _ = taken(path, "load")
    assert found == [("load", {"host": "a", "zone": "x, y\nz"}, AT_MS, 1.0), ("load", {"host": "b"}, AT_MS, 2.0)]


def test_json_lines_hold_samples_and_arrays(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    one = {"name": "cpu", "value": 21.5, "timestamp": "2014-04-01T00:00:00Z"}
    more = [{"name": "cpu", "value": -3, "timestamp": AT_MS + 300_000, "labels": {}}]
    path.write_text(f"{json.dumps(one)}\n\n{json.dumps(more)}\n")
    assert taken(path)[0] == WANTED


@pytest.mark.parametrize(
    ("name", "text", "reason", "said"),
    [
        ("a.csv", "timestamp,value\n2014-04-01 00:00:00,high\n", "value", "a.csv:2: 'high' is not a finite number"),
        ("a.csv", "timestamp,value\n2014-04-01 00:00:00,\n", "value", "a.csv:2: there is no value; add one"),
        (
            "a.csv",
            f"timestamp,value\n{AT_MS},1\nyesterday,1\n",
            "timestamp",
            "a.csv:3: 'yesterday' is not a time; write epoch",
        ),
        ("a.csv", f"timestamp,value\n{AT_MS},1\n,1\n", "timestamp", "a.csv:3: there is no time; add a timestamp"),
        ("a.csv", f"timestamp,value\n{AT_MS},1,2\n", "type", "a.csv:2: has 3 columns, and the header 2"),
        ("a.csv", f"timestamp,value\n{AT_MS},{'x' * 99}\n", "value", f"a.csv:2: '{'x' * 60}' is not a finite"),
        ("a.csv", f"timestamp,value\n{AT_MS},inf\n", "value", "a.csv:2: 'inf' is not a finite number"),
        ("a.csv", f"name,timestamp,value\n,{AT_MS},1\n", "name", "a.csv:2: the name has 0 characters"),
        ("a.jsonl", '\n{"name": "m", "value": 1}\n', "timestamp", "a.jsonl:2: there is no time; add a timestamp"),
        ("a.jsonl", '{"name": "m", "value": 1, "timestamp": 1}\n{"name"\n', "json", "a.jsonl:2: the message is not"),
        ("a.jsonl", '{"name": "m", "value": "x", "timestamp": 1}', "type", "a.jsonl:1: the sample is not as it"),
        ("a.jsonl", '{"name": "m", "value": 1, "timestamp": -5}', "timestamp", "a.jsonl:1: "),
        ("a.jsonl", '{"name": "m", "value": 1, "timestamp": 99999999999999999999}', "timestamp", "a.jsonl:1: "),
        ("a.jsonl", '{"name": "m", "value": 1, "timestamp": 1, "labels": {"a": 1}}', "labels", "a.jsonl:1: label"),
    ],
)
def test_what_is_no_sample_is_counted_and_shown(name: str, text: str, reason: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    _, intake = taken(tmp_path / name)
    assert dict(intake.rejected) == {reason: 1}
    assert said in intake.examples[reason][0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "none.csv: cannot be read (No such file or directory)"),
        ("a.txt", b"", "a.txt: is neither .jsonl nor .csv"),
        ("a.csv", b"time,value\n", "a.csv:1: the header has no column 'timestamp'"),
        ("a.csv", b"", "a.csv:1: the header has no column 'value'"),
        ("a.csv", b"timestamp,value,value\n", "a.csv:1: the header names a column twice"),
        ("a.csv.gz", gzip.compress(b"timestamp,value\n" * 9, mtime=0)[:-9], "a.csv.gz: cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(HistoryError) as caught:
        taken(tmp_path / name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
