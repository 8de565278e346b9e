#!/bin/sh
# SPDX-License-Identifier: MIT
#
# replay.sh TARN FIXTURES TEST - runs one test of `tarn replay`. The functions named test_* are the tests; each is a
# sentence about behaviour.
#
# shellcheck disable=SC2016,SC2015 # what is in single quotes is for another shell; fail and skip do not return

# shellcheck source=tests/cli/steps.sh
. "$(dirname "$0")/steps.sh"
faulty=$fixtures/libfaulty.so

# For tests in which something is preloaded into tarn itself, or its own memory counts.
needs_plain_tarn() {
    case $("$tarn" __probe 2>/dev/null) in
    *libc*) ;;
    *) skip 'a sanitizer in tarn leaves no room for another malloc in it' ;;
    esac
}

# trace FILE - makes a trace of the lines on standard input, see tracer.c.
trace() { "$fixtures/tracer" "$1" || fail 'the trace cannot be made'; }

# replay OPTION... - replays x.trace without looking for a plan; leaves the results in r.json.
replay() { run replay --plan-deadline=none --json=r.json "$@" x.trace; }

# expect_run NAME EXPRESSION VALUE - about the run `r` of that name.
expect_run() { expect_json r.json "[($2) for r in d['runs'] if r['name'] == '$1'][0]" "$3"; }
expect_true() { expect_run "$1" "$2" True; }

small_trace() {
    trace x.trace <<'LINES'
command ./app --once
1 malloc 1 1000
1 calloc 2 3000
2 malloc 3 500
2 free 1
1 realloc 2 4 5000
1 malloc 0 64
1 free 99
2 aligned 5 100 256
2 free 3
LINES
}

# ---------------------------------------------------------------------------------------------------------------
# The command line and the file.

test_help_of_replay_names_every_option() {
    for words in 'replay --help' 'replay -h' 'help replay'; do
        # shellcheck disable=SC2086 # words are meant
        run $words
        expect_status 0
        expect_no_err
        for option in on order rank json pools what-if plan-deadline timeout quiet help; do
            grep -q -e "--$option" out || fail "no --$option in: tarn $words"
        done
        [ "$(wc -L <out)" -le 82 ] || fail 'the help is too wide'
    done
}

test_a_bad_command_line_of_replay_is_refused_with_2() {
    small_trace
    run replay
    expect_status 2
    expect_err_line 'tarn replay: error: no file given'
    run replay a b
    expect_status 2
    expect_err_line 'tarn replay: error: one file at a time'
    run replay --order=exat x.trace
    expect_status 2
    expect_err_line "tarn replay: error: unknown value of --order 'exat'; did you mean 'exact'?"
    run replay --rank=tme x.trace
    expect_status 2
    expect_err_line "tarn replay: error: unknown value of --rank 'tme'; did you mean 'time'?"
    run replay --on=best-fti x.trace
    expect_status 2
    expect_err_line "tarn replay: error: unknown allocator 'best-fti'; did you mean 'best-fit'?"
    run replay --on=best-fit,, x.trace
    expect_status 2
    expect_err_line 'tarn replay: error: --on has an empty name in its list'
    run replay --on=./none.so x.trace
    expect_status 2
    expect_err_pattern "^tarn replay: error: --on: './none.so' "
    run replay --what-if=moveable x.trace
    expect_status 2
    run replay --timeout=0 x.trace
    expect_status 2
}

test_replay_refuses_files_that_are_no_traces() {
    run replay missing
    expect_status 1
    expect_err_line "tarn replay: error: cannot read 'missing': No such file or directory"
    echo 'time,size' >text
    run replay text
    expect_status 1
    expect_err_line "tarn replay: error: 'text', offset 0: this is no trace of Tarn"
}

test_replay_refuses_traces_without_an_allocation() {
    : | trace empty
    run replay empty
    expect_status 1
    expect_err_line "tarn replay: error: 'empty' has no allocation that can be replayed"
    echo '1 free 7' | trace frees
    run replay frees
    expect_status 1
    expect_err_line "tarn replay: error: 'frees' has no allocation that can be replayed"
    small_trace
    run replay --pools x.trace
    expect_status 1
    expect_err_line "tarn replay: error: 'x.trace' has no block of a pool; without --pools the blocks of malloc are replayed"
}

test_replay_plays_what_is_whole_of_a_trace_that_was_cut() {
    printf 'repeat 600000\n1 malloc 1 1000\n1 free 1\nend\n' | trace whole
    size=$(wc -c <whole)
    head -c $((size - 300)) whole >x.trace
    replay --on=best-fit
    expect_status 0
    expect_err_pattern "^tarn replay: warning: 'x.trace' was cut short at offset [0-9]+; what comes before it is whole$"
    [ "$(json r.json 'd["events"] > 0 and d["events"] <= 1200000')" = True ] || fail 'nothing was played'
    expect_run best-fit "r['status']" ok
}

test_replay_refuses_an_altered_trace_and_leaves_no_results() {
    small_trace
    python3 -c '
d = bytearray(open("x.trace", "rb").read()); d[len(d) // 2] ^= 0x55; open("x.trace", "wb").write(d)'
    replay --on=best-fit
    expect_status 1
    expect_err_pattern "^tarn replay: error: 'x.trace', offset [0-9]+: "
    [ ! -e r.json ] || fail 'there are results'
}

test_results_that_cannot_be_written_are_said_and_leave_nothing() {
    small_trace
    run replay --plan-deadline=none --on=best-fit --json=none/r.json x.trace
    expect_status 1
    expect_err_pattern '^tarn replay: error: cannot write none/r.json: No such file or directory$'
}

# ---------------------------------------------------------------------------------------------------------------
# Numbers.

test_replay_counts_what_the_trace_has() {
    small_trace
    replay --on=best-fit,arena
    expect_status 0
    expect_err 'left out: 1 request that failed in the program'
    expect_err 'left out: 1 free of a block from before the recording'
    expect_json r.json 'd["format"], d["version"]' "('tarn-replay', 1)"
    expect_json r.json 'd["command"]' './app --once'
    expect_json r.json 'd["events"], d["allocations"], d["threads"]' '(7, 4, 2)'
    expect_json r.json 'd["live_end"], d["blocks_end"]' '(5100, 2)'
    # 1000 + 3000 + 500, then 5000 in the place of 3000 after the 1000 have gone.
    expect_json r.json 'd["theory"]["peak_live"]' 5600
    expect_run best-fit "max(r['curve']['live']), r['curve']['live'][-1], r['curve']['event'][-1]" '(5600, 5100, 7)'
    expect_run best-fit "r['failures']" 0
}

test_the_smallest_range_is_found_to_within_a_hundredth() {
    # Blocks are taken from the high end of a free partition. Best fit and first fit put the last two where the
    # first two were. Worst fit cuts the larger hole for the smaller block and has to have as much again.
    trace x.trace <<'LINES'
1 malloc 1 1000000
1 malloc 2 1000
1 malloc 3 600000
1 malloc 4 1000
1 free 1
1 free 3
1 malloc 5 600000
1 malloc 6 1000000
LINES
    replay --on=best-fit,first-fit,worst-fit,buddy,fixed-partitions
    expect_status 0
    expect_true best-fit "1602000 < r['peak_footprint'] < 1602000 * 1.012"
    expect_true first-fit "1602000 < r['peak_footprint'] < 1602000 * 1.012"
    expect_true worst-fit "2602000 < r['peak_footprint'] < 2602000 * 1.012"
    # 2^20 twice on either side, since a block is at a multiple of its size.
    expect_true buddy "2 * 2**20 < r['peak_footprint'] < 2 * 2**20 * 1.02"
    expect_true fixed-partitions "r['peak_footprint'] >= 1602000"
    for name in best-fit first-fit worst-fit buddy fixed-partitions; do
        expect_run $name "r['status'], r['failures'], r['order']" "('ok', 0, 'one thread')"
    done
}

test_a_single_partition_serves_one_block_at_a_time() {
    printf '1 malloc 1 5000\n1 free 1\n1 malloc 2 7000\n' | trace x.trace
    replay --on=single
    expect_status 0
    expect_true single "7000 <= r['peak_footprint'] < 8200"
    printf '1 malloc 1 5000\n1 malloc 2 7000\n' | trace x.trace
    replay --on=single
    expect_status 1
    expect_run single "r['status'], r['error']" "('unsupported', 'one partition holds one block; the trace has 2 at a time')"
}

test_an_arena_keeps_what_is_freed() {
    printf 'repeat 1000\n1 malloc 1 1000\n1 malloc 2 1000\n1 free 1\n1 free 2\nend\n' | trace x.trace
    replay --on=arena,best-fit
    expect_status 0
    # The block freed last was the newest, and its room is used again.
    expect_true arena "1000000 < r['peak_footprint'] < 3000000"
    expect_true best-fit "r['peak_footprint'] < 4000"
    expect_true best-fit "r['rank'] == 1"
    expect_true arena "r['rank'] == 2"
}

test_fragmentation_is_what_the_definitions_say() {
    printf '1 malloc 1 1000000\n1 malloc 2 1000000\n1 free 1\n' | trace x.trace
    replay --on=best-fit,buddy
    expect_status 0
    expect_true best-fit "r['fragmentation']['external_peak'] < 0.015"
    expect_true best-fit "0.49 < r['fragmentation']['external_end'] < 0.51"
    # 1000000 of 2^20 bytes.
    expect_true buddy "abs(r['fragmentation']['internal_peak'] - (1 - 1000000 / 2**20)) < 0.001"
}

test_resident_memory_is_that_of_the_blocks() {
    needs_plain_tarn
    i=1
    while [ $i -le 64 ]; do
        echo "1 malloc $i 1000000"
        i=$((i + 1))
    done | trace x.trace
    replay --on=best-fit,system,tarn,movable,pools,two-level
    expect_status 0
    expect_json r.json "[r['name'] for r in d['runs'] if not (63e6 < r['peak_resident'] < 75e6 and 63e6 < r['end_resident'] < 75e6)]" '[]'
    expect_json r.json "[r['name'] for r in d['runs'] if not 64e6 <= r['peak_footprint'] < 135e6]" '[]'
    # Not a page of the player's own, nor of the code that runs for the first time.
    expect_true best-fit "64e6 <= r['peak_resident'] < 64.7e6"
    expect_true system "64e6 <= r['peak_resident'] < 64.7e6"
}

test_the_static_plan_is_what_is_possible() {
    # Two that never meet share their place.
    printf '1 malloc 1 5000\n1 malloc 2 32\n1 free 1\n1 malloc 3 4000\n' | trace x.trace
    run replay --json=r.json --on=best-fit x.trace
    expect_status 0
    expect_json r.json 'd["theory"]["static_plan"]["height"]' 5032
    expect_json r.json 'd["theory"]["static_plan"]["lower_bound"]' 5032
    expect_json r.json 'd["theory"]["static_plan"]["is_optimal"]' True
    expect_json r.json 'd["theory"]["static_plan"]["buffers"]' 3
    expect_json r.json 'd["theory"]["robson"]["largest"]' 5000
    # 314 granules of 16 bytes live, blocks of up to 256: 314 (1 + 8 / 2) - 256 + 1.
    expect_json r.json 'd["theory"]["robson"]["bytes"]' $((1315 * 16))
    # 5008 and 48 bytes in whole partitions, 316 and 313 granules: max k (n - k + 1), of k = 158.
    expect_json r.json 'd["theory"]["first_fit"]["live_in_partitions"]' 5056
    expect_json r.json 'd["theory"]["first_fit"]["bytes"]' $((158 * 159 * 16))
}

test_first_fit_has_no_bound_once_alignments_are_large() {
    printf '1 malloc 1 5000\n1 aligned 2 64 32\n' | trace x.trace
    replay --on=best-fit
    expect_status 0
    expect_json r.json 'd["theory"]["first_fit"], d["theory"]["no_first_fit_because"]' "(None, 'nothing is proven for alignments above 16')"
    expect_json r.json 'd["theory"]["robson"]["largest"]' 5000
    grep -q '^first fit at worst *- *nothing is proven' out || fail 'the table does not say why'
}

test_a_plan_of_very_many_blocks_is_one_too() {
    {
        echo '1 malloc 1 100000'
        printf 'repeat 150000\n1 malloc 2 100\n1 malloc 3 1000\n1 free 2\n1 free 3\nend\n'
    } | trace x.trace
    run replay --json=r.json --on=best-fit --plan-deadline=500ms x.trace
    expect_status 0
    expect_json r.json 'd["theory"]["peak_live"]' 101100
    expect_json r.json 'd["theory"]["static_plan"]["lower_bound"]' 101100
    expect_json r.json '101100 <= d["theory"]["static_plan"]["height"] <= 101200' True
    expect_json r.json 'd["theory"]["static_plan"]["buffers"]' 300001
}

test_compaction_saves_what_lies_between_the_blocks() {
    {
        i=1
        while [ $i -le 4000 ]; do
            echo "1 malloc $i 4096"
            i=$((i + 1))
        done
        i=1
        while [ $i -le 4000 ]; do
            [ $((i % 4)) -eq 0 ] || echo "1 free $i"
            i=$((i + 1))
        done
    } | trace x.trace
    replay --on=best-fit --what-if=movable
    expect_status 0
    expect_json r.json 'd["movable"]["without"] > 16e6' True
    expect_json r.json 'd["movable"]["end_without"] > 16e6' True
    expect_json r.json 'd["movable"]["end_footprint"] < 6e6' True
    expect_json r.json 'd["movable"]["blocks_moved"] > 200 and d["movable"]["bytes_moved"] > 200 * 4096' True
    grep -q '^what if blocks could move' out || fail 'the table says nothing of it'
}

test_pools_of_the_program_are_replayed_when_asked_for() {
    trace x.trace <<'LINES'
1 malloc 1 100000
1 pool_alloc 2 300 1
1 pool_alloc 3 300 1
1 pool_alloc 2 700 2
1 pool_free 2 1
1 pool_reset 1
1 pool_reset 2
LINES
    replay --on=best-fit
    expect_status 0
    expect_json r.json 'd["events"], d["theory"]["peak_live"]' '(1, 100000)'
    replay --on=best-fit --pools
    expect_status 0
    expect_json r.json 'd["events"], d["theory"]["peak_live"]' '(6, 1300)'
    expect_run best-fit "r['curve']['live'][-1]" 0
}

test_every_allocator_of_the_list_has_its_row_and_rank() {
    needs_plain_tarn
    i=0
    while [ $i -lt 400 ]; do
        echo "1 malloc $((i + 1)) $((i * 37 % 3000 + 1))"
        [ $i -lt 60 ] || echo "1 free $((i - 50))"
        i=$((i + 1))
    done | trace x.trace
    names='fixed-partitions first-fit next-fit best-fit worst-fit segregated-fit buddy two-level arena pools movable tarn tarn-malloc system'
    replay
    expect_status 0
    expect_json r.json "[n for n in '$names'.split() if [r['status'] for r in d['runs'] if r['name'] == n] != ['ok']]" '[]'
    expect_json r.json "[r['name'] for r in d['runs'] if not (r['events_per_second'] > 0 and 0 < r['ns']['p50'] <= r['ns']['p99'] <= r['ns']['p99_9'] <= r['ns']['max'])]" '[]'
    expect_json r.json "[r['name'] for r in d['runs'] if not len(r['curve']['event']) == len(r['curve']['resident']) <= 1000]" '[]'
    for name in $names; do
        grep -q "^$name " out || fail "no row of $name"
    done
    expect_json r.json 'sorted(r["rank"] for r in d["runs"]) == list(range(1, len(d["runs"]) + 1))' True
    expect_json r.json "[r['name'] for r in d['runs'] if r['ns']['mean_spread'] is None or r['ns']['mean_spread'] < 0]" '[]'
    for rank in resident time p99; do
        replay --rank=$rank --on=best-fit,buddy
        expect_status 0
        key="{'resident': lambda r: r['peak_resident'], 'time': lambda r: r['ns']['mean'], 'p99': lambda r: r['ns']['p99']}['$rank']"
        expect_json r.json "[r['rank'] for r in sorted(d['runs'], key=$key)] == [1, 2] or len({$key(r) for r in d['runs']}) < 2" True
    done
}

# ---------------------------------------------------------------------------------------------------------------
# Threads.

ordered_trace() {
    i=0
    while [ $i -lt 400 ]; do
        echo "$((i % 2 + 1)) malloc $((i + 1)) $((88800 + i))"
        i=$((i + 1))
    done | trace x.trace
}

test_threads_keep_the_order_of_the_trace() {
    needs_plain_tarn
    ordered_trace
    replay --on="$faulty"
    expect_status 0
    expect_run faulty "r['status'], r['order']" "('ok', 'exact')"
    expect_json r.json 'd["threads"]' 2
    # The library would not have one thread do the work of both.
    replay --order=single --on="$faulty"
    expect_status 1
    expect_run faulty "r['status']" crashed
    expect_run faulty "'out of order' in r['error']" True
}

test_threads_at_a_time_wait_for_the_blocks_of_others() {
    printf 'repeat 20000\n1 malloc 1 64\n2 malloc 2 128\n2 free 1\n3 free 2\n1 malloc 3 99\n1 free 3\nend\n' | trace x.trace
    replay --order=parallel --on=tarn,system,best-fit
    expect_status 0
    expect_run tarn "r['status'], r['order']" "('ok', 'parallel')"
    expect_run system "r['status'], r['order']" "('ok', 'parallel')"
    expect_run best-fit "r['status'], r['order']" "('ok', 'one thread')"
}

test_threads_that_come_and_go_are_played() {
    i=1
    while [ $i -le 300 ]; do
        echo "$i malloc $i 100"
        [ $i -eq 1 ] || echo "$i free $((i - 1))"
        i=$((i + 1))
    done | trace x.trace
    for order in exact parallel; do
        replay --order=$order --on=tarn,system
        expect_status 0
        expect_run tarn "r['status']" ok
        expect_run system "r['status']" ok
        expect_json r.json 'd["threads"]' 300
    done
}

# ---------------------------------------------------------------------------------------------------------------
# Allocators that fail.

# fault SIZE STATUS TEXT - a request of SIZE in the library that does wrong ends its row, not the command.
fault() {
    printf '1 malloc 1 100\n1 malloc 2 %s\n1 malloc 3 %s\n1 free 2\n1 free 3\n' "$1" "$1" | trace x.trace
    replay --timeout=1s --on=best-fit,bad="$faulty"
    expect_status 0
    expect_run best-fit "r['status'], r['rank']" "('ok', 1)"
    expect_run bad "r['status'], r['rank'], r['curve']" "('$2', None, None)"
    expect_true bad "'$3' in r['error']"
    grep -q "^bad: .*$3" out || fail 'the table does not say what happened'
}

test_blocks_that_overlap_are_found() { needs_plain_tarn; fault 77701 failed 'something wrote into a block of 77701 bytes'; }
test_an_allocator_that_aborts_is_a_row() { needs_plain_tarn; fault 77702 crashed 'ended by SIGABRT'; }
test_an_allocator_that_hangs_is_a_row() { needs_plain_tarn; fault 77703 crashed 'did not end in time'; }
test_an_allocator_that_refuses_is_a_row() { needs_plain_tarn; fault 77704 failed '2 requests were refused'; }
test_one_refused_request_is_one() {
    needs_plain_tarn
    printf '1 malloc 1 77704\n' | trace x.trace
    replay --on=bad="$faulty"
    expect_run bad "r['status'], r['error']" "('failed', '1 request was refused')"
    grep -q '^x.trace: 1 operation, 1 allocation, 1 thread; live at most 75.9 KiB in 1 block$' out || fail 'no such line'
}
test_an_allocator_that_exits_is_a_row() { needs_plain_tarn; fault 77705 crashed 'ended with status 3'; }
test_an_allocator_that_writes_into_blocks_is_found() { needs_plain_tarn; fault 77707 failed 'something wrote into a block of 77707 bytes'; }

test_an_allocator_that_writes_without_end_is_cut_short() { needs_plain_tarn; fault 77710 crashed 'ended by SIGABRT (Aborted): help!'; }

test_a_request_of_more_than_the_memory_that_is_left_is_stopped_before_it() {
    needs_plain_tarn
    printf '1 malloc 1 100\n1 malloc 2 17592186044416\n2 malloc 3 100\n' | trace x.trace
    for order in exact parallel; do
        replay --order=$order --on=system
        expect_status 1
        expect_run system "r['status']" failed
        expect_true system "r['error'].startswith('stopped at a request of 16777216 MiB, so that the machine has memory left: there are ')"
    done
}

test_damage_to_a_block_that_is_never_freed_is_found() {
    needs_plain_tarn
    printf '1 malloc 1 77707\n1 malloc 2 77707\n' | trace x.trace
    replay --on=bad="$faulty"
    expect_status 1
    expect_run bad "r['status'], r['error']" "('failed', 'after the last operation: something wrote into a block of 77707 bytes that was never freed')"
}

test_a_wrong_alignment_is_found() {
    needs_plain_tarn
    printf '1 aligned 1 77706 4096\n' | trace x.trace
    replay --on=bad="$faulty"
    expect_status 1
    expect_true bad "'alignment' in r['error']"
}

test_a_block_that_is_not_aligned_for_every_object_is_found() {
    needs_plain_tarn
    printf '1 malloc 1 77709\n' | trace x.trace
    replay --on=bad="$faulty"
    expect_status 1
    expect_run bad "r['status'], r['error']" "('failed', 'operation 1: the alignment is not one for every object of that size: a block of 77709 bytes')"
    printf '1 malloc 1 100\n1 realloc 1 2 77709\n' | trace x.trace
    replay --on=bad="$faulty"
    expect_status 1
    expect_true bad "'operation 2: the alignment is not one for every object' in r['error']"
}

test_small_blocks_need_no_larger_alignment_than_themselves() {
    needs_plain_tarn
    i=0
    while [ $i -lt 40 ]; do
        echo "1 malloc $((i + 1)) $i"
        i=$((i + 1))
    done | trace x.trace
    replay
    expect_status 0
    expect_json r.json "[(r['name'], r['error']) for r in d['runs'] if r['status'] != 'ok']" '[]'
}

test_contents_that_a_realloc_loses_are_found() {
    needs_plain_tarn
    printf '1 malloc 1 100\n1 realloc 1 2 77708\n' | trace x.trace
    replay --on=bad="$faulty"
    expect_status 1
    expect_true bad "'realloc did not keep the contents of a block of 100 bytes' in r['error']"
}

test_an_interrupt_ends_what_runs_and_tells_what_is_done() {
    needs_plain_tarn
    printf '1 malloc 1 77703\n' | trace x.trace
    "$tarn" replay --plan-deadline=none --json=r.json --on=best-fit,bad="$faulty",late="$faulty" x.trace >out 2>err &
    replayer=$!
    tries=0
    until pgrep -P $replayer >children && grep -qz __replay "/proc/$(tail -1 children)/cmdline" 2>/dev/null && [ $tries -gt 20 ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { kill $replayer; fail 'nothing runs'; }
        sleep 0.05
    done
    kill -INT $replayer
    status=0
    wait $replayer || status=$?
    expect_status 130
    expect_run best-fit "r['status']" ok
    expect_run bad "r['status'], r['error']" "('interrupted', 'interrupted')"
    expect_run late "r['status'], r['error']" "('not run', 'not come to')"
    while read -r child; do
        ! kill -0 "$child" 2>/dev/null || fail 'a process lives on'
    done <children
}

# interrupt_when CONDITION OPTION... - replays x.trace and interrupts that once CONDITION, of $replayer, holds.
interrupt_when() {
    condition=$1
    shift
    "$tarn" replay --json=r.json "$@" x.trace >out 2>err &
    replayer=$!
    tries=0
    until $condition; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { kill $replayer; fail 'it does not come so far'; }
        sleep 0.05
    done
    kill -INT $replayer
    status=0
    wait $replayer || status=$?
}

test_an_interrupt_ends_planning() {
    awk 'BEGIN { srand(3); for (i = 1; i <= 15000; i++) {
        print "1 malloc " i " " int(exp(rand() * 12)) + 1
        if (i > 300) { do k = i - int(rand() * 300); while (gone[k]); gone[k] = 1; print "1 free " k } } }' | trace x.trace
    # All passes of the one allocator are over.
    # shellcheck disable=SC2317 # interrupt_when calls it
    plans() {
        [ "$tries" -gt 5 ] && ! pgrep -P "$replayer" >/dev/null && sleep 0.1 && ! pgrep -P "$replayer" >/dev/null
    }
    interrupt_when plans --on=arena --plan-deadline=5min
    expect_status 130
    expect_run arena "r['status']" ok
    expect_json r.json 'd["theory"]["no_static_plan_because"]' interrupted
}

# ---------------------------------------------------------------------------------------------------------------
# Programs.

# replay_program NAME... - all of x.trace is played on some allocators, and the counts are those of the trace.
replay_program() {
    "$tarn" trace x.trace >said || fail 'no trace'
    replay --on=best-fit,segregated-fit,buddy,pools,two-level,movable,tarn,system
    expect_status 0
    expect_json r.json '[r["name"] for r in d["runs"] if r["status"] != "ok"]' '[]'
    live=$(sed -n 's/^live at most: \(about \)*//p' said)
    [ "$(json r.json "abs(d['theory']['peak_live'] - $live) <= $live * 0.05")" = True ] ||
        fail "not the live bytes of the trace: $live"
    frees=$(awk '/^  (free|free_sized|delete|delete\[\]): / { sum += $2 } END { print sum + 0 }' said)
    [ "$(json r.json "d['events'] - d['allocations'] >= $frees * 0.99")" = True ] || fail "not the frees of the trace: $frees"
}

needs_recorder() {
    needs_plain_tarn
    [ -f "$(dirname "$tarn")/../lib/libtarn-record.so" ] || skip 'there is no recorder beside this tarn'
}

test_python3_is_replayed() {
    needs_recorder
    [ -x /usr/bin/python3 ] || skip 'there is no /usr/bin/python3'
    PYTHONMALLOC=malloc "$tarn" record -q --stacks=none -o x.trace -- /usr/bin/python3 -c '
import json
print(len(json.dumps(json.loads(json.dumps({str(i): list(range(i % 50)) for i in range(2000)})))))' >/dev/null
    replay_program
}

test_gcc_compiling_is_replayed() {
    needs_recorder
    cc1=$(gcc -print-prog-name=cc1 2>/dev/null)
    [ -x "$cc1" ] || skip 'there is no gcc'
    echo 'int f(int n) { int s = 0; for (int i = 0; i < n; i++) s += i * i; return s; }' >a.c
    "$tarn" record -q --stacks=none -o x.trace -- "$cc1" -quiet -O2 a.c -o a.s
    replay_program
}

test_a_program_with_threads_is_replayed_with_its_threads() {
    needs_recorder
    "$tarn" record -q --stacks=none -o x.trace -- "$fixtures/asker" threads 4 3000 >/dev/null
    replay_program
    [ "$(json r.json 'd["threads"] >= 5')" = True ] || fail 'threads are missing'
    expect_run tarn "r['order']" exact
    expect_run best-fit "r['order']" 'one thread'
    replay --order=parallel --on=tarn,system
    expect_status 0
    expect_run tarn "r['status'], r['order']" "('ok', 'parallel')"
}

test_redis_under_load_is_replayed() {
    needs_recorder
    command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null || skip 'there is no redis'
    "$tarn" record -q --stacks=none -o x.trace -- redis-server --port 0 --unixsocket "$PWD/socket" --save '' --dir "$PWD" >log 2>&1 &
    recorder=$!
    tries=0
    until redis-cli -s "$PWD/socket" ping >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { kill "$recorder"; fail 'redis-server does not answer'; }
        sleep 0.05
    done
    redis-benchmark -s "$PWD/socket" -q -n 5000 -r 2000 -t set,lpush >/dev/null 2>&1
    redis-cli -s "$PWD/socket" shutdown nosave >/dev/null 2>&1
    wait "$recorder"
    replay_program
}

"test_$test_name"
