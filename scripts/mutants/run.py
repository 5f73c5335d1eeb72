#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants the faults of mutants.txt, one at a time, and asks whether a test notices.

The tree is copied, never touched: each fault is an exact replacement of text that must
occur once, the test's binary is built and run, and the text is put back. Prints a table;
--markdown writes it too. Ends with 0 when every fault was caught.

  scripts/mutants/run.py [--only SUBSTRING,…] [--jobs N] [--markdown FILE] [--keep]
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent.parent
TEST_SECONDS_MAX = 120  # a fault may make a loop endless; that is caught too


def read_list(path):
    """Blocks of `key: value` lines, then `<<<`, old text, `===`, new text, `>>>`."""
    mutants = []
    for block in re.split(r"^## ", path.read_text(), flags=re.M)[1:]:
        name, rest = block.split("\n", 1)
        head, body = rest.split("<<<\n", 1)
        old, new = body.split("\n>>>", 1)[0].split("\n===", 1)
        mutant = dict(re.findall(r"^(\w+): (.*)$", head, flags=re.M), name=name.strip())
        mutants.append(mutant | {"old": old, "new": new.removeprefix("\n")})
    return mutants


class Copy:
    def __init__(self, folder, jobs):
        self.source, self.build, self.jobs = folder / "tree", folder / "build", jobs
        shutil.copytree(TREE, self.source, ignore=shutil.ignore_patterns("build", ".git"))
        # Little optimisation: most of the time goes into the compiler.
        subprocess.run(["cmake", "-G", "Ninja", "-S", self.source, "-B", self.build, "-DCMAKE_BUILD_TYPE=",
                        "-DCMAKE_CXX_FLAGS=-O1"], check=True, stdout=subprocess.DEVNULL)

    def make(self, target):
        return subprocess.run(["ninja", "-C", self.build, f"-j{self.jobs}", target], capture_output=True, text=True)

    def run(self, target):
        """(passed, the first test that failed or how it ended)"""
        try:
            done = subprocess.run([self.build / "tests" / target], capture_output=True, text=True,
                                  errors="replace", timeout=TEST_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return False, f"no end within {TEST_SECONDS_MAX} s"
        failed = re.search(r"^\[  FAILED  \] ([\w./]+)", done.stdout, flags=re.M)
        return done.returncode == 0, failed.group(1) if failed else f"exit {done.returncode}"

    def try_one(self, mutant):
        path = self.source / mutant["file"]
        text = path.read_text()
        if text.count(mutant["old"]) != 1:
            return "stale", f"its text occurs {text.count(mutant['old'])} times"
        path.write_text(text.replace(mutant["old"], mutant["new"]))
        try:
            if (made := self.make(mutant["test"])).returncode != 0:
                error = re.search(r"error: .*", made.stdout)
                return "does not compile", error.group(0) if error else ""
            passed, detail = self.run(mutant["test"])
            return ("SURVIVED", "") if passed else ("caught", detail)
        finally:
            path.write_text(text)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--only", default="")
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--markdown", type=pathlib.Path)
    options.add_argument("--keep", action="store_true", help="keep the copy, and say where it is")
    options = options.parse_args()
    mutants = [m for m in read_list(HERE / "mutants.txt") if any(o in m["name"] for o in options.only.split(","))]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ripstop-mutants-"))
    rows = []
    try:
        copy = Copy(folder, options.jobs)
        for target in sorted({m["test"] for m in mutants}):
            # A test that fails without a fault would catch every one of them.
            if (made := copy.make(target)).returncode != 0:
                sys.exit(f"{target} does not build:\n{made.stdout[-3000:]}")
            passed, detail = copy.run(target)
            if not passed:
                sys.exit(f"{target} fails without a fault: {detail}")
            print(f"without a fault: {target} passes", flush=True)
        for mutant in mutants:
            begin = time.monotonic()
            result, detail = copy.try_one(mutant)
            rows.append((mutant, result, detail))
            print(f"{result:9} {mutant['name']:32} {mutant['file']:30} {mutant['test']:28} {detail}"
                  f"  ({time.monotonic() - begin:.0f} s)", flush=True)
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    caught = sum(result == "caught" for _, result, _ in rows)
    print(f"{caught} of {len(rows)} caught")
    if options.markdown:
        lines = ["| fault | file | what it does | result | by |", "|---|---|---|---|---|"]
        for mutant, result, detail in rows:
            lines.append(f"| {mutant['name']} | `{mutant['file']}` | {mutant['what']} | {result} | "
                         f"`{mutant['test']}`{': ' + detail if detail else ''} |")
        options.markdown.write_text("\n".join(lines) + f"\n\n{caught} of {len(rows)} caught.\n")
    return 0 if caught == len(rows) and rows else 1


if __name__ == "__main__":
    sys.exit(main())
