#!/bin/sh
# SPDX-License-Identifier: MIT
#
# report.sh TARN FIXTURES TEST - runs one test of `tarn report`. The functions named test_* are the tests; each is a
# sentence about behaviour.
#
# shellcheck disable=SC2016,SC2015 # what is in single quotes is for another shell; fail and skip do not return

# shellcheck source=tests/cli/steps.sh
. "$(dirname "$0")/steps.sh"
asker=$fixtures/asker
sites=$fixtures/sites

# record OPTION... -- PROGRAM... - records it in x.trace.
record() {
    [ -f "$(dirname "$tarn")/../lib/libtarn-record.so" ] || skip 'there is no recorder beside this tarn'
    "$tarn" record --quiet -o x.trace "$@" >program_out 2>program_err || true
    [ -f x.trace ] || fail "no trace was written: $(cat program_err)"
}

# report OPTION... - makes x.html of x.trace, without a word.
report() {
    run report -o x.html "$@" x.trace
    expect_status 0
    expect_no_err
}

# expect_data VALUE EXPRESSION - what report_data.py says of x.html.
expect_data() {
    value=$("$here/report_data.py" x.html "$2") || fail "x.html cannot be read, or has no $2"
    [ "$value" = "$1" ] || fail "in x.html, $2 is '$value' and not '$1'"
}

# expect_totals - sums over the parts are the whole.
expect_totals() {
    expect_data True 'sum(s["cell.allocs"]) == d["summary"]["allocations"]'
    expect_data True 'sum(s["cell.bytes"]) == d["summary"]["bytes_allocated"]'
    expect_data True 'sum(s["cell.frees"]) == d["summary"]["frees"]'
    expect_data True 'sum(s["cell.bytes"]) - sum(s["cell.freed"]) == d["summary"]["live_end"]'
    expect_data True 'sum(s["cell.temporary"]) == sum(s["bin.temporary"]) == d["summary"]["temporary"]'
    expect_data True 'sum(s["node.peak_bytes"]) == d["summary"]["peak_live"]'
    expect_data True 'sum(s["node.peak_blocks"]) == d["summary"]["peak_blocks"]'
    expect_data True 'max(s["curve.live_max"]) == d["summary"]["peak_live"]'
    expect_data True 'sum(s["size.counts"]) == sum(s["lifetime.counts"]) == d["summary"]["allocations"]'
    expect_data True 'sum(s["size.bytes"]) == sum(s["lifetime.bytes"]) == d["summary"]["bytes_allocated"]'
    expect_data True 'sum(s["thread.allocs"]) == d["summary"]["allocations"]'
    expect_data True 'sum(t["bytes"] for t in d["threads"]) == d["summary"]["bytes_allocated"]'
    expect_data True 'len(s["cell.ends"]) == d["bins"]["count"] and s["cell.ends"][-1] == len(s["cell.node"])'
    expect_data True 'd["curve"]["count"] % d["bins"]["count"] == 0 and len(s["curve.live"]) == d["curve"]["count"]'
}

# ---------------------------------------------------------------------------------------------------------------
# The command line.

test_help_of_report_names_every_option() {
    for words in 'report --help' 'report -h' 'help report'; do
        # shellcheck disable=SC2086 # words are meant
        run $words
        expect_status 0
        expect_no_err
        for option in --output --replay --text --export --cost --map --bins --sysroot --debug-dir --no-symbols --allocator --help; do
            grep -q -e "$option" out || fail "no $option in: tarn $words"
        done
        [ "$(wc -L <out)" -le 82 ] || fail "the help is too wide"
    done
}

test_a_bad_command_line_of_report_is_refused_with_2() {
    run report
    expect_status 2
    expect_err_line 'tarn report: error: no file given'
    run report a b
    expect_status 2
    expect_err_line 'tarn report: error: one file at a time'
    run report --txet a
    expect_status 2
    expect_err_line "tarn report: error: unknown option '--txet'; did you mean '--text'?"
    run report --export=folde a
    expect_status 2
    expect_err_line "tarn report: error: unknown value of --export 'folde'; did you mean 'folded'?"
    run report --cost=byte a
    expect_status 2
    expect_err_line "tarn report: error: unknown value of --cost 'byte'; did you mean 'bytes'?"
    run report --map=bestfit a
    expect_status 2
    expect_err_line "tarn report: error: unknown value of --map 'bestfit'; did you mean 'best-fit'?"
    run report --bins=8 a
    expect_status 2
    run report --output= a
    expect_status 2
    expect_err_line 'tarn report: error: --output takes the name of a file'
    run report --text --replay r.json a
    expect_status 2
    expect_err_line 'tarn report: error: --replay is for the page alone'
    run report --allocator= a
    expect_status 2
    expect_err_line 'tarn report: error: --allocator takes the name of a function'
}

test_report_refuses_what_is_no_trace_and_leaves_nothing() {
    echo 'time,size' >text
    run report -o x.html text
    expect_status 1
    expect_err_line "tarn report: error: 'text', offset 0: this is no trace of Tarn"
    run report -o x.html missing
    expect_status 1
    expect_err_line "tarn report: error: cannot read 'missing': No such file or directory"
    : >empty
    run report --export=csv empty
    expect_status 1
    expect_err_line "tarn report: error: 'empty', offset 0: the file is empty"
    [ "$(ls)" = "$(printf 'empty\nerr\nout\ntext')" ] || fail "something was left: $(ls)"
}

test_report_names_the_place_where_a_trace_was_altered() {
    record -- "$asker" noise 100000
    cp x.trace altered.trace
    printf 'xxxx' | dd of=altered.trace bs=1 seek=5000 conv=notrunc 2>/dev/null
    echo old >x.html
    run report -o x.html altered.trace
    expect_status 1
    expect_err_pattern "^tarn report: error: 'altered.trace', offset [0-9]+: "
    [ "$(cat x.html)" = old ] || fail 'what was there is gone'
    cp x.trace newer.trace
    printf '\377' | dd of=newer.trace bs=1 seek=16 conv=notrunc 2>/dev/null
    run report --text newer.trace
    expect_status 1
    expect_err_pattern "^tarn report: error: 'newer.trace', offset [0-9]+: "
}

test_a_trace_that_was_cut_is_reported_to_its_last_whole_part() {
    record -- "$asker" noise 600000
    size=$(wc -c <x.trace)
    head -c $((size * 2 / 3)) x.trace >cut.trace
    run report -o x.html cut.trace
    expect_status 0
    expect_err_pattern "^tarn report: warning: 'cut.trace' was cut short at offset [0-9]+; what comes before it is whole$"
    [ "$(grep -c warning err)" -eq 1 ] || fail 'it is said more than once'
    expect_data True 'd["program"]["is_cut"]'
    expect_data True 'd["summary"]["events"] > 100000'
    expect_totals
}

test_the_report_is_beside_where_one_works_when_nothing_is_said() {
    record --stacks=none -- "$asker" churn 1000
    mkdir there
    mv x.trace there/app.trace
    run report there/app.trace
    expect_status 0
    expect_err_line 'tarn report: wrote app.html'
    [ -s app.html ] || fail 'no app.html'
    run report --export=csv there/app.trace
    expect_status 0
    [ -s app.csv ] || fail 'no app.csv'
    run report -o no/such/place.html there/app.trace
    expect_status 1
    expect_err_pattern 'no/such/place.html'
}

# ---------------------------------------------------------------------------------------------------------------
# The numbers.

test_a_report_has_the_numbers_of_the_program() {
    record -- "$asker" churn 300000
    report
    expect_totals
    expect_data '[300000, True]' '[sites()["churn(long)"][0], sites()["churn(long)"][1] == sum(1 + i % 500 for i in range(300000))]'
    expect_data True '300000 <= d["summary"]["allocations"] < 300200'
    expect_data 16 'len(d["snapshots"])'
    expect_data '["peak", "end"]' 'json.dumps([x["label"] for x in d["snapshots"] if x["label"]])'
    expect_data None 'd["replay"]'
    expect_data '"best-fit (simulated)"' 'json.dumps(d["map"]["layout"])'
    expect_data True 'd["map"]["columns"] * d["map"]["rows"] == len(s["map.used"]) == len(s["map.node"])'
    expect_data True 'd["map"]["peak_footprint"] >= d["summary"]["peak_live"]'
    expect_data True 'd["map"]["peak_footprint"] < d["summary"]["peak_live"] * 1.2'
}

test_functions_that_were_put_into_others_are_named() {
    record -- "$sites"
    report
    expect_totals
    expect_data True '[2000, 2000000, 0] == sites()["shop::make_order()"][:3]'
    expect_data True '[40, 280040, 280040] == sites()["shop::forget(int)"][:3]'
    expect_data True 'max(site[3] for site in sites().values()) == 5000'
    expect_data True 'any(p[-3:] == ["main", "shop::Shelf::fill(int)", "shop::make_order()"] for p in paths())'
    expect_data True 'any(text(f).endswith("sites.cc") for f in s["frame.file"])'
    run report --no-symbols -o x.html x.trace
    expect_status 0
    expect_totals
    expect_data True 'all(re.search(r"0x[0-9a-f]+$", p[-1]) for p in paths())'
    expect_data True 'any(p[-1].startswith("sites+0x") for p in paths())'
}

# report_from FOLDER - the same, with the root of another machine's files, where the system's are missing.
report_from() {
    run report -o x.html --sysroot "$1" x.trace
    expect_status 0
    expect_err_pattern "^tarn report: warning: --sysroot: the files of [0-9]+ of [0-9]+ modules are not below '$1'; their functions are shown as addresses$"
    [ "$(wc -l <err)" -eq 1 ] || fail "more is said: $(cat err)"
}

test_symbols_come_from_a_sysroot_and_from_files_for_debuggers() {
    command -v objcopy >/dev/null || skip 'there is no objcopy'
    mkdir -p "$scratch/bin" root/usr/lib/debug
    cp "$sites" "$scratch/bin/app"
    objcopy --only-keep-debug "$scratch/bin/app" app.debug
    objcopy --strip-all --add-gnu-debuglink=app.debug "$scratch/bin/app"
    record -- "$scratch/bin/app"
    mkdir -p "root$scratch/bin"
    mv "$scratch/bin/app" "root$scratch/bin/app"
    # Nothing is where it was.
    report
    expect_data True 'not any("shop::" in name for p in paths() for name in p)'
    # The file has no symbols.
    report_from root
    expect_data True 'not any("shop::" in name for p in paths() for name in p)'
    # By its build-id.
    id=$(readelf -n app.debug | sed -n 's/.*Build ID: //p')
    folder=root/usr/lib/debug/.build-id/$(printf %s "$id" | cut -c 1-2)
    mkdir -p "$folder"
    cp app.debug "$folder/$(printf %s "$id" | cut -c 3-).debug"
    report_from "$scratch/root"
    expect_data True '[2000, 2000000, 0] == sites()["shop::make_order()"][:3]'
    # By the link, below the folder of the file.
    rm -r "$folder"
    mkdir -p "root/usr/lib/debug$scratch/bin"
    cp app.debug "root/usr/lib/debug$scratch/bin/app.debug"
    report_from "$scratch/root"
    expect_data True '[2000, 2000000, 0] == sites()["shop::make_order()"][:3]'
    # From a folder of its own, without the program.
    rm -r root
    folder=more/.build-id/$(printf %s "$id" | cut -c 1-2)
    mkdir -p "$folder"
    cp app.debug "$folder/$(printf %s "$id" | cut -c 3-).debug"
    report --debug-dir "$scratch/more"
    expect_data True '[2000, 2000000, 0] == sites()["shop::make_order()"][:3]'
}

test_a_file_that_is_not_the_one_that_was_recorded_is_not_asked() {
    cp "$sites" app
    record -- ./app
    cp "$asker" app
    run report -o x.html x.trace
    expect_status 0
    expect_err_line "tarn report: warning: '$scratch/app' is not the file that was recorded, by its build-id; its functions are shown as addresses"
    [ "$(grep -c warning err)" -eq 1 ] || fail 'it is said more than once'
    expect_data True 'any(p[-1].startswith("app+0x") for p in paths())'
    expect_totals
}

test_without_elfutils_functions_are_addresses() {
    record -- "$sites"
    mkdir lib
    cp "$fixtures/libempty.so" lib/libdw.so.1
    run_with LD_LIBRARY_PATH="$scratch/lib" report -o x.html x.trace
    expect_status 0
    expect_err_pattern '^tarn report: warning: functions are shown as addresses: .*libdw.so.1'
    expect_data True 'any(p[-1].startswith("sites+0x") for p in paths())'
    expect_totals
}

test_threads_have_their_parts() {
    record -- "$asker" threads 4 20000
    report
    expect_totals
    expect_data True 'sorted(t["allocations"] for t in d["threads"])[-4:] == [20000] * 4'
    expect_data 5 'len(d["threads"])'
}

test_each_process_that_forks_has_a_report() {
    record -- "$asker" fork
    count=0
    for trace in x*.trace; do
        run report -o x.html "$trace"
        expect_status 0
        expect_totals
        count=$((count + 1))
    done
    [ "$count" -ge 3 ] || fail "$count traces"
}

test_a_program_that_crashes_has_a_report() {
    record -- "$asker" die segv
    report
    expect_totals
    expect_data 50000 'sites()["churn(long)"][0]'
}

test_the_sums_of_compilers_and_interpreters_are_right() {
    python=python3
    [ -x /usr/bin/python3 ] && python=/usr/bin/python3
    PYTHONMALLOC=malloc
    export PYTHONMALLOC
    record -- "$python" -c 'x = [str(i) * 20 for i in range(30000)]; del x[::2]'
    report
    expect_totals
    expect_data True 'd["summary"]["allocations"] > 30000 and d["summary"]["peak_live"] > 30000 * 80'
    printf '#include <stdio.h>\nint main(void) { return puts("hello"); }\n' >hello.c
    rm -f x*.trace
    record -- cc -O2 -c hello.c
    for trace in x*.trace; do
        run report -o x.html "$trace"
        expect_status 0
        expect_totals
    done
}

test_blocks_of_pools_are_shown_by_pool_and_not_added_to_live() {
    [ -x "$fixtures/pools" ] || skip 'there is no recorder'
    record -- "$fixtures/pools"
    report
    expect_totals
    expect_data '["child", "levels", "messages", "nodes", "requests", "session", "strip", "texts", "twolevel"]' 'json.dumps(sorted(p["name"] for p in d["pools"]))'
    expect_data '[2, 1, 9424]' '[[p["allocations"], p["frees"], p["peak_live"]] for p in d["pools"] if p["name"] == "messages"][0]'
    expect_data '"requests"' 'json.dumps([d["pools"][p["parent"]]["name"] for p in d["pools"] if p["name"] == "child"][0])'
    # That of the process has no end.
    expect_data '["twolevel"]' 'json.dumps([p["name"] for p in d["pools"] if not p["closed"]])'
    run report --text x.trace
    expect_status 0
    grep -qE '^messages +pool ' out || fail 'the pool is not shown'
}

test_a_trace_without_stacks_has_all_but_call_sites() {
    record --stacks=none -- "$asker" churn 50000
    report
    expect_totals
    expect_data '[["(no stack)"]]' 'json.dumps(paths())'
    expect_data none 'd["program"]["stacks"]'
}

test_sampled_stacks_stand_for_the_others() {
    record --stacks=sampled -- "$sites"
    report
    expect_data sampled 'd["program"]["stacks"]'
    expect_data 65536 'd["program"]["sample_bytes"]'
    expect_data True 'abs(sites()["shop::make_order()"][0] / 2000 - 1) < 0.2'
    expect_data True 'abs(sum(s["cell.bytes"]) / d["summary"]["bytes_allocated"] - 1) < 0.1'
    expect_data True 'd["summary"]["temporary"] > 0 and sum(s["bin.temporary"]) == d["summary"]["temporary"]'
    expect_data True 'sum(s["size.bytes"]) == d["summary"]["bytes_allocated"]'
    run report --text x.trace
    grep -q 'figures by call site are estimates' out || fail 'they are not said to be estimates'
}

test_recorded_addresses_are_the_map() {
    record --addresses -- "$asker" noise 100000
    report
    expect_totals
    expect_data addresses 'd["program"]["blocks"]'
    expect_data 'recorded addresses' 'd["map"]["layout"]'
    expect_data True '[0, d["map"]["bottom"]] == d["map"]["extents"][0]'
    expect_data True 'd["map"]["extents"] == sorted(d["map"]["extents"])'
    expect_data True 'd["map"]["bottom"] > 0 and any(s["map.used"])'
    expect_data True 'd["map"]["peak_footprint"] >= d["summary"]["peak_live"]'
    # The share of what is used is what was live: bytes by time.
    expect_data True 'abs(sum(s["map.used"]) / 255 * d["map"]["ns_per_column"] * d["map"]["bytes_per_row"] / (sum(s["curve.live"]) * d["curve"]["width_ns"]) - 1) < 0.2'
}

test_blocks_are_laid_out_by_any_policy() {
    record --stacks=none -- "$asker" noise 20000
    for policy in best-fit first-fit next-fit worst-fit segregated-fit buddy; do
        report --map="$policy"
        expect_data "$policy (simulated)" 'd["map"]["layout"]'
        expect_data True 'd["map"]["peak_footprint"] >= d["summary"]["peak_live"]'
        expect_data True 'all(s["rect.address"][i] + s["rect.size"][i] <= d["map"]["peak_footprint"] for i in range(len(s["rect.size"])))'
    done
}

# trace FILE - makes a trace of the lines on standard input, see tracer.c.
trace() { "$fixtures/tracer" "$1" || fail 'the trace cannot be made'; }

# aligned_trace SIZE ALIGNMENT - in x.trace: a large block that goes, then small ones with an alignment.
aligned_trace() {
    {
        printf '1 malloc 1 104857600\n1 free 1\n'
        for number in $(seq 2 40); do
            echo "1 aligned $number $1 $2"
        done
    } | trace x.trace
}

# expect_footprint_of_replay POLICY... - the map's footprint of x.trace is about that of a replay.
expect_footprint_of_replay() {
    run replay --plan-deadline=none --on="$(echo "$*" | tr ' ' ',')" --json=r.json x.trace
    expect_status 0
    for policy in "$@"; do
        report --map="$policy"
        wanted=$(python3 -c "import json; print([r['peak_footprint'] for r in json.load(open('r.json'))['runs'] if r['name'] == '$policy'][0])")
        expect_data True "abs(d['map']['peak_footprint'] / $wanted - 1) < 0.15"
        expect_data 0 'd["map"]["unplaced"]'
    done
}

test_the_footprint_of_blocks_aligned_to_lines_is_about_that_of_a_replay() {
    aligned_trace 1000 64
    expect_footprint_of_replay best-fit first-fit
}

test_the_footprint_of_blocks_aligned_to_pages_is_about_that_of_a_replay() {
    aligned_trace 8192 4096
    expect_footprint_of_replay segregated-fit worst-fit
}

test_aligned_blocks_far_apart_have_a_place_under_any_policy() {
    for number in $(seq 300); do
        echo "1 aligned $number 4096 1048576"
    done | trace x.trace
    for policy in best-fit worst-fit buddy; do
        report --map="$policy"
        expect_data 0 'd["map"]["unplaced"]'
        expect_data True 'd["map"]["peak_footprint"] >= 299 << 20'
    done
}

test_buddies_of_one_size_lie_side_by_side() {
    for number in $(seq 1000); do
        echo "1 malloc $number 100"
    done | trace x.trace
    report --map=buddy
    expect_data 128000 'd["map"]["peak_footprint"]'
}

test_fewer_bins_have_the_same_sums() {
    record -- "$asker" noise 50000
    report --bins=64
    expect_data 64 'd["bins"]["count"]'
    expect_totals
}

test_a_replay_is_put_into_the_page() {
    record --stacks=none -- "$asker" churn 1000
    echo '{"format": "tarn-replay", "version": 1, "trace": "</script>", "events": 1, "allocations": 1, "threads": 1, "runs": []}' >r.json
    report --replay r.json
    expect_data '</script>' 'd["replay"]["trace"]'
    echo '{"format": "tarn-plan", "version": 1}' >r.json
    run report --replay r.json -o y.html x.trace
    expect_status 1
    expect_err_pattern "'r.json' is no result of tarn replay"
    echo '{"format": "tarn-replay", "version": 2}' >r.json
    run report --replay r.json -o y.html x.trace
    expect_status 1
    expect_err_pattern "'r.json' is of a version of tarn replay that this tarn does not know"
    echo '{"format": ' >r.json
    run report --replay r.json -o y.html x.trace
    expect_status 1
    expect_err_pattern "'r.json', line [0-9]+: this is no JSON"
    [ ! -e y.html ] || fail 'a page was left'
}

# expect_refused EXPRESSION PATTERN - r.json, with what Python makes of it as d, is refused.
expect_refused() {
    python3 -c "import json; d = json.load(open('r.json')); $1; json.dump(d, open('bad.json', 'w'))"
    run report --replay bad.json -o y.html x.trace
    expect_status 1
    expect_err_pattern "'bad.json' is no result of tarn replay that a page can show: $2; make it again with tarn replay --json$"
    [ ! -e y.html ] || fail 'a page was left'
}

test_a_replay_that_a_page_cannot_show_is_refused() {
    printf '1 malloc 1 1000\n1 malloc 2 500\n1 free 1\n' | trace x.trace
    run replay --plan-deadline=none --on=best-fit --json=r.json x.trace
    expect_status 0
    report --replay r.json
    expect_data 1500 'd["replay"]["theory"]["peak_live"]'
    expect_refused 'd["theory"] = 3' 'theory should be an object'
    expect_refused 'd["theory"]["peak_live"] = "much"' 'theory.peak_live should be a number'
    expect_refused 'd["runs"] = {}' 'runs should be a list'
    expect_refused 'd["runs"][0] = 5' 'runs.0.. should be an object'
    expect_refused 'del d["runs"][0]["name"]' 'runs.0..name should be a text'
    expect_refused 'd["runs"][0]["status"] = None' 'runs.0..status should be a text'
    expect_refused 'd["runs"][0]["curve"]["live"][0] = None' 'runs.0..curve.live should be a list of numbers'
    expect_refused 'd["runs"][0]["curve"]["live"].pop()' 'runs.0..curve.live should be as long as the other lists'
    truncate -s 70M large.json
    run report --replay large.json -o y.html x.trace
    expect_status 1
    expect_err_line "tarn report: error: 'large.json' is no result of tarn replay: it has more than 64 MiB"
}

test_a_replay_of_another_trace_is_told() {
    printf '1 malloc 1 1000\n' | trace x.trace
    run replay --plan-deadline=none --on=best-fit --json=r.json x.trace
    printf '1 malloc 1 2000\n' | trace x.trace
    run report --replay r.json -o x.html x.trace
    expect_status 0
    expect_err_line "tarn report: warning: 'r.json' seems to be of another trace than 'x.trace': 1000 B were live at most there, and 1.95 KiB here"
}

# ---------------------------------------------------------------------------------------------------------------
# On the terminal, and for other tools.

test_text_tells_what_the_page_tells() {
    record -- "$sites"
    run report --text x.trace
    expect_status 0
    expect_no_err
    for line in '^command +.*sites' '^never freed +' '^Call sites by bytes asked for$' \
        '^Call sites by live bytes at the peak$' '^Call sites by bytes never freed$' \
        '^Call sites by temporary allocations$' '^Call sites by allocations$' '^Sizes$' '^Pages at the peak$' '^Threads$' \
        '^shop::make_order\(\) +sites.cc:[0-9]+ +1.91 MiB +[0-9.]+ % +2,000$' '^call site +live +share +blocks$' \
        '^call site +never freed +share +blocks$' '^call site +temporary +share +bytes$' '^.*forget.* +273 KiB +[0-9.]+ % +40$' \
        '^.*use_at_once.* +5,000 +[0-9.]+ % +1.59 MiB$'; do
        grep -qE -e "$line" out || fail "no line: $line"
    done
    ! grep -q "$(printf '\033')" out || fail 'there are colours, and no terminal'
}

test_text_of_call_sites_counts_the_blocks_concerned() {
    {
        # One of three is never freed, and is a part of the peak.
        for number in 1 2 3; do
            printf '1 malloc %s 100\n' "$number"
        done
        printf '1 free 1\n1 free 2\n'
        printf 'command one\n'
    } | trace x.trace
    run report --text x.trace
    expect_status 0
    grep -qE '^never freed +100 B in 1 block$' out || fail 'one block is not one'
    grep -A 4 '^Call sites by bytes never freed$' out | grep -qE '^\(no stack\) +100 B +100.0 % +1$' || fail 'more than one was left'
    grep -A 4 '^Call sites by live bytes at the peak$' out | grep -qE '^\(no stack\) +300 B +100.0 % +3$' || fail 'not three at the peak'
}

test_text_of_a_trace_without_events_has_no_empty_tables() {
    trace x.trace </dev/null
    run report --text x.trace
    expect_status 0
    grep -qE '^events +0$' out || fail 'the events are not told'
    ! grep -qE '^(Sizes|Threads|Call sites.*)$' out || fail 'a table is empty'
}

test_a_command_of_many_lines_is_shown_by_its_first() {
    printf 'command first\rsecond\n1 malloc 1 8\n' | trace x.trace
    run report --text x.trace
    expect_status 0
    grep -qE '^command +first \.\.\.$' out || fail "the command: $(grep ^command out)"
}

test_who_hands_memory_out_is_no_call_site() {
    record -- "$sites"
    report
    expect_data False 'any("_M_allocate" in name or "operator new" in name for name in sites())'
    report --allocator 'shop::make_*' --allocator nothing
    expect_data False '"shop::make_order()" in sites()'
    expect_data True '[2000, 2000000, 0] == sites()["shop::Shelf::fill(int)"][:3]'
    expect_totals
}

test_texts_of_a_program_command_no_terminal() {
    record --stacks=none -- "$asker" churn 10 "$(printf 'a\033[31mb')"
    run report --text x.trace
    expect_status 0
    ! grep -q "$(printf '\033')" out || fail 'there is an escape'
    report
    expect_data True '"[31mb" in d["program"]["command"]'
}

test_heaptrack_print_reads_the_export_for_heaptrack() {
    command -v heaptrack_print >/dev/null || skip 'there is no heaptrack_print'
    record -- "$sites"
    report
    run report --export=heaptrack -o x.gz x.trace
    expect_status 0
    heaptrack_print -l 1 x.gz >printed 2>&1 || fail "heaptrack_print: $(cat printed)"
    allocations=$("$here/report_data.py" x.html 'd["summary"]["allocations"]')
    grep -qE "^calls to allocation functions: $allocations \(" printed || fail "not $allocations: $(tail -n 8 printed)"
    peak=$("$here/report_data.py" x.html '"%.2fM" % (d["summary"]["peak_live"] / 1e6)')
    grep -qxF "peak heap memory consumption: $peak" printed || fail "not $peak: $(tail -n 8 printed)"
    leaked=$("$here/report_data.py" x.html '"%.2fK" % (d["summary"]["live_end"] / 1e3)')
    grep -qxF "total memory leaked: $leaked" printed || fail "not $leaked: $(tail -n 8 printed)"
    for name in 'shop::make_order()' 'shop::Shelf::fill(int)' sites.cc; do
        grep -qF "$name" printed || fail "no $name"
    done
}

# read_by FORMAT FILE - what readers/read.mjs says of it is in `reader_out`.
read_by() {
    command -v node >/dev/null || skip 'there is no node'
    [ -d "${TARN_READERS:-/nonexistent}/node_modules" ] || skip 'the readers are not there'
    node "$here/readers/read.mjs" "$TARN_READERS" "$1" "$2" >reader_out 2>&1 || fail "the reader: $(cat reader_out)"
}
expect_read() { grep -qxF -e "$1" reader_out || fail "the reader does not say '$1': $(cat reader_out)"; }

test_pprof_format_reads_the_export_for_pprof() {
    record -- "$sites"
    report
    run report --export=pprof -o x.pb.gz x.trace
    expect_status 0
    read_by pprof x.pb.gz
    for name in allocations bytes_allocated blocks_end live_end; do
        expect_read "$name $("$here/report_data.py" x.html "d['summary']['$name']")"
    done
    expect_read 'types alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes'
    expect_read '2000 2000000 0 0 shop::make_order() shop::Shelf::fill(int) main'
    expect_read "build-id $(readelf -n "$sites" | sed -n 's/.*Build ID: //p')"
}

test_the_export_for_speedscope_follows_its_schema() {
    record -- "$sites"
    report
    run report --export=speedscope --cost=peak -o x.json x.trace
    expect_status 0
    read_by speedscope x.json
    expect_read "bytes allocated $("$here/report_data.py" x.html "d['summary']['bytes_allocated']")"
    expect_read "live bytes at the peak $("$here/report_data.py" x.html "d['summary']['peak_live']")"
    expect_read "bytes never freed $("$here/report_data.py" x.html "d['summary']['live_end']")"
    expect_read "temporary allocations $("$here/report_data.py" x.html "d['summary']['temporary']")"
    expect_read 'active live bytes at the peak'
}

test_folded_stacks_have_the_cost_that_was_asked_for() {
    record -- "$sites"
    report
    for cost in bytes:bytes_allocated count:allocations peak:peak_live leaked:live_end temporary:temporary; do
        run report --export=folded --cost="${cost%:*}" -o - x.trace
        expect_status 0
        ! grep -vqE '^[^;]+(;[^;]+)* [0-9]+$' out || fail "this is no folded stack: $(grep -vE '^[^;]+(;[^;]+)* [0-9]+$' out)"
        sum=$(awk '{ sum += $NF } END { printf "%d", sum }' out)
        expect_data "$sum" "d['summary']['${cost#*:}']"
    done
    run report --export=folded -o - x.trace
    grep -qE ';main;shop::Shelf::fill\(int\);shop::make_order\(\) 2000000$' out || fail 'the stack is not there'
}

test_csv_has_a_line_for_each_call_site() {
    record -- "$sites"
    report
    run report --export=csv -o x.csv x.trace
    expect_status 0
    python3 - <<'END' >reader_out || fail 'python3 cannot read it'
import csv
with open('x.csv', newline='', encoding='utf-8') as file:
    rows = list(csv.DictReader(file, strict=True))
row = [r for r in rows if r['function'] == 'shop::make_order()'][0]
print(row['allocations'], row['bytes'], row['frees'], row['leaked_bytes'], row['file'].endswith('sites.cc'))
print('bytes', sum(int(r['bytes']) for r in rows))
print('peak', sum(int(r['peak_bytes']) for r in rows))
END
    expect_read '2000 2000000 2000 0 True'
    expect_read "bytes $("$here/report_data.py" x.html "d['summary']['bytes_allocated']")"
    expect_read "peak $("$here/report_data.py" x.html "d['summary']['peak_live']")"
}

test_an_export_that_cannot_be_written_is_told() {
    [ -w /dev/full ] || skip 'there is no /dev/full'
    record -- "$sites"
    for format in pprof heaptrack folded speedscope csv; do
        run report --export="$format" -o /dev/full x.trace
        expect_status 1
        expect_err_pattern 'cannot write /dev/full: No space left on device'
    done
    run report -o /dev/full x.trace
    expect_status 1
    expect_err_pattern 'cannot write /dev/full: No space left on device'
}

"test_$test_name"
