# SPDX-License-Identifier: MIT
"""What must hold of pools, line by line. A rule that compares with a peer which is not measured is not judged."""

from harness.region_rules import cell_name

RELAY_LEAST = 1.5
BUMP_MOST = 1.4
FAULTS_MOST = 0.01
OVERHEAD_MOST = 0.03


def judge(verdicts, group):
    RULES[group.name](verdicts, group)


def judge_most(verdicts, rule, group, theirs, cells, most=1.0):
    """In each of `cells` Tarn's time may be `most` times that of each of `theirs`, and no more."""
    if not has_run(verdicts, rule, group, cells):
        return
    ratios = {(cell, name): group.ratio(cell, "tarn", name, "mean_ns") for cell in cells for name in theirs}
    ratios = {key: ratio for key, ratio in ratios.items() if ratio is not None}
    if not ratios:
        verdicts.add(rule, "", None)
        return
    worst = max(ratios, key=ratios.get)
    over = {cell for (cell, _), ratio in ratios.items() if ratio > most}
    text = f"{ratios[worst]:.2f}" + (f" of {worst[1]}'s" if len(theirs) > 1 else "")
    if len(cells) > 1:
        text = f"worst {text} at {cell_name(worst[0])}" + (f", over in {len(over)} of {len(cells)}" if over else "")
    verdicts.add(rule, text, not over)


def has_run(verdicts, rule, group, cells):
    """Notes a rule whose cells Tarn did not get through: a failure if it died, else nothing was measured."""
    fault = next((text for (cell, name), text in group.faults.items() if name == "tarn" and cell in cells), None)
    if fault is not None:
        verdicts.add(rule, fault, False)
        return False
    if not all(group.values(cell, "tarn", "mean_ns") for cell in cells):
        verdicts.add(rule, "", None)
        return False
    return True


def judge_fixed(verdicts, group):
    judge_most(verdicts, "fixed: no slower than boost::pool", group, ["boost"], group.cells)
    # No limit was set for what finding double frees at once costs; it is to be stated.
    costs = {cell: group.ratio(cell, "tarn-checks", "tarn", "mean_ns") for cell in group.cells}
    if all(costs.values()):
        low, high = min(costs.values()), max(costs.values())
        verdicts.add("fixed: what double-free detection costs is stated", f"{low:.1f} to {high:.1f} times the time",
                     True)


def judge_shared(verdicts, group):
    judge_most(verdicts, "shared: at most DPDK's mempool, objects of their own", group, ["dpdk"],
               [cell for cell in group.cells if cell != "relay"])
    rule = f"shared: relay at least {RELAY_LEAST} times the throughput of the best malloc"
    if not has_run(verdicts, rule, group, ["relay"]):
        return
    leads = {subject.name: group.ratio("relay", subject.name, "tarn", "mean_ns") for subject in group.subjects
             if subject.role == "malloc"}
    leads = {name: lead for name, lead in leads.items() if lead is not None}
    if not leads:
        verdicts.add(rule, "", None)
        return
    best = min(leads, key=leads.get)
    # The ring and the reading of the objects are most of the time of them all; told beside, not judged by.
    own, ours, theirs = (group.figure("relay", name, "mean_ns") for name in ("nothing", "tarn", best))
    beside = ""
    if own is not None and ours > own:
        beside = f"; {(theirs - own) / (ours - own):.1f} without the driver's own time"
    verdicts.add(rule, f"{leads[best]:.2f} of {best}'s{beside}", leads[best] >= RELAY_LEAST)


def judge_arena(verdicts, group):
    cells = group.cells
    judge_most(verdicts, f"arena: at most {BUMP_MOST} times a bare pointer", group, ["bump"], cells, BUMP_MOST)
    for name, words in (("pmr", "std::pmr::monotonic_buffer_resource"), ("apr", "APR"), ("obstack", "obstack"),
                        ("nginx", "nginx's pool")):
        judge_most(verdicts, f"arena: faster than {words}", group, [name], cells)
    rule = "arena: no page faults at a reset in the steady state"
    if has_run(verdicts, rule, group, cells):
        # The same in every round, but for a page that the kernel took away meanwhile.
        faults = group.figure(cells[0], "tarn", "faults")
        verdicts.add(rule, f"{faults:.3f} for a reset", faults < FAULTS_MOST)
    rule = f"arena: memory overhead below {OVERHEAD_MOST:.0%}"
    if has_run(verdicts, rule, group, cells):
        used, resident = (group.figure(cells[0], "tarn", key) for key in ("used", "resident"))
        least = group.figure(cells[0], "bump", "resident")
        beside = "" if least is None else f" (a bare pointer's {least - 1:.1%})"
        verdicts.add(rule, f"{used - 1:.1%}; in whole pages {resident - 1:.1%}{beside}", used - 1 < OVERHEAD_MOST)


def judge_containers(verdicts, group):
    others = [subject.name for subject in group.subjects if not subject.name.startswith("tarn")]
    for cell, words in group.header.items():
        judge_most(verdicts, f"containers: {words}: no slower than the best of the others", group, others, [cell])


RULES = {"fixed": judge_fixed, "shared": judge_shared, "arena": judge_arena, "containers": judge_containers}
