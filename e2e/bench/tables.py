# SPDX-License-Identifier: Apache-2.0
#
# Records of the benchmarks as text tables. A figure that was not measured is "-", and the
# notes below the table say why.


def number(value, digits=0):
    # What rounds to nothing is less than can be measured.
    if not value or value < 0.5 * 10 ** -digits:
        return "-"
    return f"{value:,.{digits}f}"


def ratio(value):
    return f"{value:.2f}" if value else "-"


def grid(header, rows):
    """Right-aligned columns, the first one left-aligned."""
    cells = [header] + rows
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        parts = [row[0].ljust(widths[0])]
        parts += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines) + "\n"


def notes(records, label):
    text = ""
    for record in records:
        if record.get("note"):
            text += f"{label(record)}: {record['note']}\n"
    return "\n" + text if text else ""


def bars(figures):
    """Every figure that has a bar, met or missed."""
    rows = []
    for figure in figures:
        if "bar" not in figure:
            continue
        value = figure.get("value")
        shown = f"{value:g} {figure['unit']}" if value is not None else "not measured"
        rows.append([figure["figure"], shown,
                     f"{figure['bar_is']} {figure['bar']:g} {figure['unit']}",
                     "met" if figure["met"] else "MISSED"])
    missing = [f for f in figures if "bar" in f and f.get("value") is None]
    return grid(["what", "figure", "bar", ""], rows) + notes(missing, lambda r: r["figure"])


def packet(figures):
    rows = [[f["figure"], f"{f['value']:g}", f.get("note", "").replace("median ", ""),
             f"{f['bar']:g}" if "bar" in f else "-"]
            for f in figures if f["bench"] == "datapath_bench" and f["unit"] == "ns"]
    return grid(["ns", "least", "median", "bar"], rows)


def verdict(records, families, label):
    chosen = [r for r in records if r["family"] in families]
    rows = [[r["family"], number(r["size"]), number(r["put_ms"] + r["compile_ms"], 1),
             number(r["table_mib"], 2), number(r["map_mib"], 1), number(r["agent_mib"], 1),
             r["representation"] or "-", number(r["verdict_ns"]), ratio(r["verdict_ratio"]),
             number(r["new_flow_ns"]), ratio(r["new_flow_ratio"])] for r in chosen]
    return grid(["family", label, "compile ms", "tables MiB", "maps MiB", "agent MiB", "form",
                 "verdict", "/ one", "new flow", "/ one"], rows)


def verdict_notes(records):
    return notes(records, lambda r: f"{r['family']} {r['size']:,}")


def alternatives(records):
    rows = [[r["family"], number(r["size"]), number(r["verdict_ns"]),
             number(r["straight_line_ns"]), number(r["nft_rules_ns"]), number(r["nft_map_ns"])]
            for r in records if r["family"] not in ("kubernetes", "policies", "pods")]
    return grid(["family", "rules", "ripstop", "straight line", "nft rules", "nft map"], rows)


def connect(records):
    rows = [[number(r["rules"]), number(r["sockets"]), number(r["plain"]), number(r["nft_rules"]),
             number(r["nft_map"]), number(r["ripstop"]), ratio(r["over_plain"]),
             ratio(r["over_nft_rules"]), ratio(r["over_nft_map"])] for r in records]
    paths = [[number(r["rules"]), number(r["plain_us"], 1), number(r["nft_rules_us"], 1),
              number(r["nft_map_us"], 1), number(r["ripstop_us"], 1)] for r in records]
    return (grid(["rules", "sockets", "plain", "nft rules", "nft map", "ripstop", "/ plain",
                  "/ nft rules", "/ nft map"], rows)
            + "\nmicroseconds of a connection beyond those of sockets alone\n"
            + grid(["rules", "plain", "nft rules", "nft map", "ripstop"], paths)
            + notes(records, lambda r: f"{r['rules']:,} rules"))


def events(records):
    rows = [[r["name"], number(r["engine_us"]), number(r["engine_least_us"]),
             number(r["engine_most_us"]), number(r["maps_us"]), number(r["grace_us"]),
             str(r["addresses"]), str(r["stores"]), str(r["words"]), str(r["graces"]), r["promise"]]
            for r in records]
    return grid(["event", "engine us", "least", "most", "maps us", "grace us", "addresses",
                 "stores", "words", "graces", "may cost"], rows)


def plain(figures, benches):
    rows = [[f["figure"], f"{f['value']:g} {f['unit']}" if "value" in f else "not measured",
             f"{f['bar_is']} {f['bar']:g}" if "bar" in f else "-",
             ("met" if f["met"] else "MISSED") if "bar" in f else "", f.get("note", "")]
            for f in figures if f["bench"] in benches]
    return grid(["what", "figure", "bar", "", ""], rows)


def machine(runs):
    rows = [[r["bench"], str(r["seconds"]), r["load_before"], r["load_after"], str(r["cores"]),
             r["kernel"]] for r in runs]
    return grid(["benchmark", "seconds", "load before", "load after", "cores", "kernel"], rows)


def render(records):
    """Blocks by name; only those for which there are records."""
    figures = [r for r in records if "figure" in r]

    def of(table):
        return [r for r in records if r.get("table") == table]

    blocks = {"machine": machine(of("run"))}
    if figures:
        blocks["bars"] = bars(figures)
    if any(f["bench"] == "datapath_bench" for f in figures):
        blocks["packet"] = packet(figures)
    if any(f["bench"] == "traffic_bench" for f in figures):
        blocks["traffic"] = plain(figures, ["traffic_bench"])
    if any(f["bench"] == "sweep_bench" for f in figures):
        blocks["sweep"] = plain(figures, ["sweep_bench"])
    if of("verdict"):
        rules = [r for r in of("verdict") if r["family"] not in ("policies", "pods")]
        blocks["rules"] = verdict(rules, {r["family"] for r in rules}, "rules") + verdict_notes(rules)
        clusters = [r for r in of("verdict") if r["family"] in ("policies", "pods")]
        blocks["cluster"] = verdict(clusters, {"policies", "pods"}, "number") + verdict_notes(clusters)
        blocks["alternatives"] = alternatives(rules)
    if of("connect"):
        blocks["connect"] = connect(of("connect"))
    if of("event"):
        blocks["events"] = events(of("event"))
        blocks["control"] = plain(figures, ["control_bench"])
    if any(f["bench"] in ("ipam_bench", "start_bench") for f in figures):
        blocks["addresses"] = plain(figures, ["ipam_bench", "start_bench"])
    if any(f["bench"] == "agent_bench" for f in figures):
        blocks["agent"] = plain(figures, ["agent_bench"])
    return blocks
