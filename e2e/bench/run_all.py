#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Runs every benchmark and prints the tables of docs/performance.md; needs root.
#
#   run_all.py BUILD [--quick] [--write] [--json FILE] [--from FILE] [--only NAME]
#
#   --quick   tiny sizes, to see that all of it runs
#   --write   puts tables and plots into docs/performance.md
#   --json    keeps the records, one JSON object per line
#   --from    renders records kept before instead of measuring (repeatable: the later one
#             wins, bench by bench)
#   --only    one benchmark (repeatable)
#
# The document's own words are left alone: tables go between <!-- begin NAME --> and
# <!-- end NAME -->.
import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time

import tables

BENCHES = ["datapath_bench", "sweep_bench", "traffic_bench", "verdict_bench", "connect_bench",
           "control_bench", "guard_bench", "ipam_bench", "start_bench", "apply_bench", "agent_bench"]
HERE = os.path.dirname(os.path.abspath(__file__))
DOCS = os.path.join(HERE, "..", "..", "docs")


def progress(text):
    print(text, file=sys.stderr, flush=True)


def describe(record):
    """One line of progress for a record."""
    if "figure" in record:
        value = record.get("value")
        return f"{record['figure']}: " + (
            f"{value} {record['unit']}" if value is not None else "not measured")
    keys = [k for k in ("family", "name", "size", "rules") if k in record]
    return f"{record['table']} " + " ".join(str(record[k]) for k in keys)


def load():
    return f"{os.getloadavg()[0]:.1f}"


def run(build, name, quick, svg):
    """Records of one benchmark; raises when it fails."""
    command = [os.path.join(build, "bin", name), "--json"]
    if quick:
        command.append("--quick")
    if svg and name in ("verdict_bench", "connect_bench"):
        command += ["--svg", svg]
    progress(f"== {name}, load {load()}")
    start, load_before, records = time.time(), load(), []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        record = json.loads(line)
        record["bench"] = name
        records.append(record)
        progress(f"{time.time() - start:7.1f} s  {describe(record)}")
    if process.wait() != 0:
        raise SystemExit(f"{name}: exit {process.returncode}")
    records.append({"table": "run", "bench": name, "seconds": round(time.time() - start),
                    "load_before": load_before, "load_after": load(),
                    "cores": os.cpu_count(), "kernel": ".".join(platform.release().split(".")[:2])})
    return records


def write(path, blocks):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for name, block in blocks.items():
        pattern = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.S)
        if not pattern.search(text):
            raise SystemExit(f"{path}: no place for {name}")
        text = pattern.sub(lambda m, b=block: m[1] + "```\n" + b + "```\n" + m[2], text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--from", dest="kept", action="append", default=[])
    parser.add_argument("--only", action="append", choices=BENCHES)
    options = parser.parse_args()

    by_bench = {}
    for path in options.kept:
        with open(path, encoding="utf-8") as file:
            kept = [json.loads(line) for line in file]
        for name in {record["bench"] for record in kept}:
            by_bench[name] = [record for record in kept if record["bench"] == name]
    wanted = options.only or ([] if options.kept else BENCHES)
    svg = os.path.join(DOCS, "performance") if options.write else None
    for name in wanted:
        by_bench[name] = run(options.build, name, options.quick, svg)
    records = [record for name in BENCHES for record in by_bench.get(name, [])]
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    blocks = tables.render(records)
    for name, block in blocks.items():
        print(f"-- {name}\n{block}")
    if options.write:
        write(os.path.join(DOCS, "performance.md"), blocks)


if __name__ == "__main__":
    main()
