"""Reads an audience back with readers that are not ours, and prints what it holds as JSON."""
import csv
import json
import sys

sys.path.insert(0, sys.argv[1])
import pyarrow.parquet  # noqa: E402

with open(sys.argv[2], newline="", encoding="utf-8") as file:
    rows = [dict(row) for row in csv.DictReader(file)]

table = pyarrow.parquet.read_table(sys.argv[3])


def plain(value):
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


print(json.dumps({
    "csv": rows,
    "types": {field.name: str(field.type) for field in table.schema},
    "parquet": [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()],
}))
