#!/bin/sh
# SPDX-License-Identifier: MIT
#
# record.sh TARN FIXTURES TEST - runs one test of `tarn record` and `tarn trace`. The functions named test_* are the
# tests; each is a sentence about behaviour.
#
# shellcheck disable=SC2016,SC2015 # what is in single quotes is for another shell; fail and skip do not return

# shellcheck source=tests/cli/steps.sh
. "$(dirname "$0")/steps.sh"
asker=$fixtures/asker

needs_recorder() {
    [ -f "$(dirname "$tarn")/../lib/libtarn-record.so" ] || skip 'there is no recorder beside this tarn'
}

# record OPTION... -- PROGRAM... - records, in x.trace when nothing else is said; leaves the lines of x.trace in `lines`.
record() {
    needs_recorder
    run record -o x.trace "$@"
    [ -f x.trace ] || fail 'no trace was written'
    lines_of x.trace
}

lines_of() {
    "$tarn" trace --print "$1" >lines 2>trace_err || fail "cannot read $1: $(cat trace_err)"
    [ ! -s trace_err ] || fail "$1 is not whole: $(cat trace_err)"
}

# count PATTERN - how many lines match.
count() { grep -cE -e "$1" lines; }
expect_count() {
    counted=$(count "$2")
    [ "$counted" -eq "$1" ] || fail "$counted lines instead of $1 match: $2"
}

# Every block is given before it is taken back, and no address is given twice at a time, whatever thread does it.
expect_order() {
    awk '
        /^[0-9]/ {
            if ($1 < time) { print "time goes back: " $0; exit 1 }
            time = $1
        }
        $3 == "realloc" {
            if ($5 != "0") { if ($2 in moved) delete moved[$2]; else delete live[$4]; if ($5 in live) { print "given twice: " $0; exit 1 } live[$5] = 1 }
            next
        }
        $3 == "move" { if (!($4 in live)) { print "moved but not there: " $0; exit 1 } delete live[$4]; moved[$2] = $4; next }
        $3 ~ /^(malloc|calloc|aligned|new|new\[\])$/ && $4 != "0" {
            if ($4 in live) { print "given twice: " $0; exit 1 }
            live[$4] = 1
        }
        $3 ~ /^(free|free_sized|delete|delete\[\])$/ {
            if (!($4 in live)) { print "not there: " $0; exit 1 }
            delete live[$4]
        }' lines >order || fail "$(cat order)"
}

# ---------------------------------------------------------------------------------------------------------------
# The command line.

test_help_of_record_and_trace_names_every_option() {
    for command in record trace; do
        for words in "$command --help" "$command -h" "help $command"; do
            # shellcheck disable=SC2086 # words are meant
            run $words
            expect_status 0
            expect_no_err
            options='--help'
            [ $command = trace ] || options='--output --stacks --addresses --pid --duration --quiet --help'
            [ $command = record ] || options='--print --help'
            for option in $options; do
                grep -q -e "$option" out || fail "no $option in: tarn $words"
            done
            [ "$(wc -L <out)" -le 82 ] || fail "the help is too wide"
        done
    done
}

test_a_bad_command_line_of_record_is_refused_with_125() {
    run record
    expect_status 125
    expect_err_line 'tarn record: error: no program given'
    run record --stakcs=none -- true
    expect_status 125
    expect_err_line "tarn record: error: unknown option '--stakcs'; did you mean '--stacks'?"
    run record --stacks=ful -- true
    expect_status 125
    expect_err_line "tarn record: error: unknown value of --stacks 'ful'; did you mean 'full'?"
    run record --stacks=full:3 -- true
    expect_status 125
    run record -o '' -- true
    expect_status 125
    expect_err_line 'tarn record: error: --output takes the name of a file'
    run record -- no-such-program
    expect_status 127
}

test_a_bad_command_line_of_trace_is_refused_with_2() {
    run trace
    expect_status 2
    expect_err_line 'tarn trace: error: no file given'
    run trace a b
    expect_status 2
    expect_err_line 'tarn trace: error: one file at a time'
    run trace --prnt a
    expect_status 2
    expect_err_line "tarn trace: error: unknown option '--prnt'; did you mean '--print'?"
    run trace missing
    expect_status 1
    expect_err_line "tarn trace: error: cannot read 'missing': No such file or directory"
}

test_files_that_are_no_traces_are_refused_with_the_offset() {
    echo 'time,size' >text
    run trace text
    expect_status 1
    expect_err_line "tarn trace: error: 'text', offset 0: this is no trace of Tarn"
    : >empty
    run trace empty
    expect_status 1
    expect_err_line "tarn trace: error: 'empty', offset 0: the file is empty"
    run trace /dev/null
    expect_status 1
}

# ---------------------------------------------------------------------------------------------------------------
# What is recorded.

test_every_way_to_ask_for_memory_is_recorded_once() {
    record -- "$asker" every-way
    expect_status 0
    expect_out bad_alloc
    for event in 'malloc 0x[0-9a-f]+ size 100001' 'calloc 0x[0-9a-f]+ size 200004' \
        'malloc 0x[0-9a-f]+ size 100003' 'realloc 0x[0-9a-f]+ 0x[0-9a-f]+ size 300003' \
        'realloc 0 0x[0-9a-f]+ size 100004' 'realloc 0 0x[0-9a-f]+ size 500025' \
        'aligned 0x[0-9a-f]+ size 100032 alignment 64' 'aligned 0x[0-9a-f]+ size 100007 alignment 4096' \
        'aligned 0x[0-9a-f]+ size 100008 alignment 128' 'aligned 0x[0-9a-f]+ size 100009 alignment [0-9]+' \
        'new 0x[0-9a-f]+ size 100010' 'new\[\] 0x[0-9a-f]+ size 100011' 'new 0x[0-9a-f]+ size 100012' \
        'new\[\] 0x[0-9a-f]+ size 100013' 'new 0x[0-9a-f]+ size 100014' \
        'new 0x[0-9a-f]+ size 100015 alignment 256' 'new\[\] 0x[0-9a-f]+ size 100016 alignment 512' \
        'malloc 0x[0-9a-f]+ size 100017'; do
        expect_count 1 " $event( |\$)"
    done
    # A `new` that fails is what the C++ library asked of malloc.
    expect_count 2 ' malloc 0 size 4611686018427387903( |$)'
    # And each of them was taken back by its own operation.
    for size in 100001 200004 300003 100004 500025 100032 100007 100008 100009 100017; do
        block=$(sed -n "s/.* \(0x[0-9a-f]*\) size $size\( .*\)*\$/\1/p" lines)
        expect_count_after "$size" " free $block( |\$)"
    done
    for size in 100010 100012 100014 100015; do
        block=$(sed -n "s/.* \(0x[0-9a-f]*\) size $size\( .*\)*\$/\1/p" lines)
        expect_count_after "$size" " delete $block( |\$)"
    done
    for size in 100011 100013 100016; do
        block=$(sed -n "s/.* \(0x[0-9a-f]*\) size $size\( .*\)*\$/\1/p" lines)
        expect_count_after "$size" " delete\\[\\] $block( |\$)"
    done
    expect_order
}

# expect_count_after SIZE PATTERN - the next event but definitions after the one of that size matches.
expect_count_after() {
    grep -E '^[0-9]' lines | grep -A1 -E " size $1( |\$)" | tail -n 1 | grep -qE -e "$2" ||
        fail "what follows the block of $1 bytes does not match: $2"
}

test_record_passes_the_exit_status_on() {
    record --quiet -- "$fixtures/victim" exit 7
    expect_status 7
    expect_no_err
}

test_the_summary_tells_events_peak_and_size() {
    record -- "$asker" churn 10000
    expect_status 0
    expect_err_pattern '^tarn record: x\.trace: [0-9]+ events, [0-9.]+ KiB live at most, [0-9.]+ KiB, none lost, of '
    run trace x.trace
    expect_status 0
    events=$(sed -n 's/^tarn record: x.trace: \([0-9]*\) events.*/\1/p' err)
    lines_of x.trace
    expect_count "$(sed -n 's/^events: //p' out)" '^[0-9]'
    [ "$(sed -n 's/^lost: //p' out)" = 0 ] || fail 'some are lost'
    [ "${events:-}" = '' ] || fail 'the summary of trace is on standard error'
}

test_counts_are_the_programs_own() {
    record --stacks=none -- "$asker" churn 300000
    expect_status 0
    mallocs=$(count ' malloc ')
    # The program itself, libc and the loader ask for a few more.
    [ "$mallocs" -ge 300000 ] && [ "$mallocs" -lt 300200 ] || fail "$mallocs events instead of 300000 and a few"
    expect_order
}

test_threads_that_free_each_others_blocks_are_in_order() {
    record -- "$asker" threads 4 20000
    expect_status 0
    expect_count "$(sed -n 's/new\[\] \([0-9]*\).*/\1/p' out)" ' new\[\] 0x[0-9a-f]+ size 10000[1-7]( |$)'
    expect_count "$(sed -n 's/.* delete\[\] //p' out)" ' delete\[\] '
    expect_count 5 '^thread '
    expect_order
}

test_more_threads_than_chunks_are_recorded() {
    record --stacks=none -- "$asker" crowd 600
    expect_status 0
    expect_count 1800 ' new\[\] 0x[0-9a-f]+ size 100001$'
    expect_order
}

test_blocks_of_more_threads_than_chunks_move_in_order() {
    for names in '' --addresses; do
        # shellcheck disable=SC2086 # nothing is meant
        record --stacks=none $names -- "$asker" moving-crowd 600
        expect_status 0
        expect_count 60000 ' malloc 0x[0-9a-f]+ size 2000$'
        expect_order
    done
}

test_fork_and_exec_have_files_of_their_own() {
    needs_recorder
    run record -o 'x.%p.trace' -- "$asker" fork
    expect_status 0
    child=$(sed -n 's/^child //p' out)
    [ "$(find . -name 'x.*.trace' | wc -l)" -eq 3 ] || fail "not three files: $(ls)"
    parent=$(find . -name 'x.*.trace' ! -name "x.$child.*")
    lines_of "$parent"
    for size in 100001 100002 100004; do
        expect_count 1 " size $size( |\$)"
    done
    expect_count 0 ' size 100003( |$)'
    lines_of "x.$child.trace"
    expect_count 1 ' size 100003( |$)'
    expect_count 0 ' size 100001( |$)'
    lines_of "x.$child.2.trace"
    expect_count 1 ' size 100017( |$)'
    expect_count 1 '^info "command" ".*asker every-way"'
}

test_a_name_without_a_number_is_the_first_process() {
    needs_recorder
    run record -o x.trace -- "$asker" fork
    expect_status 0
    child=$(sed -n 's/^child //p' out)
    lines_of x.trace
    expect_count 1 ' size 100004( |$)'
    lines_of "x.$child.trace"
    expect_count 1 ' size 100003( |$)'
    lines_of "x.$child.2.trace"
    expect_count 1 ' size 100017( |$)'
}

test_a_program_that_crashes_is_recorded_to_its_last_event() {
    for end in crash:139 kill:137 exit:3; do
        record --stacks=none -- "$asker" die "${end%:*}"
        expect_status "${end#*:}"
        mallocs=$(count ' malloc ')
        [ "$mallocs" -ge 50000 ] || fail "only $mallocs of 50000 events"
    done
}

test_an_allocator_that_is_preloaded_too_is_recorded() {
    library=$(dirname "$tarn")/../lib/libtarn-malloc.so
    [ -f "$library" ] || skip 'there is no libtarn-malloc.so'
    needs_recorder
    status=0
    LD_PRELOAD=$library "$tarn" record -o x.trace -- "$asker" every-way >out 2>err || status=$?
    expect_status 0
    lines_of x.trace
    expect_count 1 '^module .*libtarn-malloc'
    expect_count 1 ' new 0x[0-9a-f]+ size 100010( |$)'
    expect_count 1 ' new 0x[0-9a-f]+ size 100015 alignment 256( |$)'
    expect_count 1 ' malloc 0x[0-9a-f]+ size 100017( |$)'
    expect_order
}

test_a_plug_in_with_its_own_cxx_library_is_recorded() {
    [ -f "$fixtures/plugin.so" ] || skip 'there is no plugin.so'
    record -- "$fixtures/victim" plugin "$fixtures/plugin.so"
    expect_status 0
    expect_out bad_alloc
    expect_count 1 ' new 0x[0-9a-f]+ size 100001( |$)'
    expect_count 1 ' new\[\] 0x[0-9a-f]+ size 100016 alignment 256( |$)'
    expect_order
}

test_a_disk_that_is_full_ends_the_recording_and_not_the_program() {
    needs_recorder
    [ -w /dev/full ] || skip 'there is no /dev/full'
    run record -o /dev/full -- "$asker" churn 400000
    expect_status 125
    expect_out 'malloc 400000'
    expect_err "cannot"
    expect_err 'No space left on device'
    [ "$(grep -c 'No space left' err)" -eq 1 ] || fail 'it is said more than once'
    command -v prlimit >/dev/null || skip 'there is no prlimit'
    "$tarn" record -o x.trace -- "$asker" wait-churn 3000000 >out 2>err &
    recorder=$!
    until grep -q waiting out; do
        sleep 0.02
    done
    # From here on tarn, and not the program, has no more than 8,000 bytes in a file.
    prlimit --pid "$recorder" --fsize=8000
    touch go
    status=0
    wait "$recorder" || status=$?
    expect_status 125
    grep -q 'malloc 3000000' out || fail 'the program did not go on'
    expect_err "cannot write 'x.trace': File too large; its recording ends here, the program goes on"
    cp err told
    "$tarn" trace x.trace >out 2>err || fail 'what there is cannot be read'
    expect_err 'was cut short at offset'
    events=$(sed -n 's/^events: //p' out)
    [ "$events" -gt 0 ] || fail 'nothing is left'
    grep -qE "x.trace: $events events, .* [0-9]+ lost, incomplete, of" told || fail "it is not said how many: $(cat told)"
}

# record_with_a_stop SECONDS WHAT COUNT - stops tarn record for so long while the program runs.
record_with_a_stop() {
    needs_recorder
    : >out
    "$tarn" record --stacks=none -o x.trace -- "$asker" "$2" "$3" >out 2>err &
    recorder=$!
    until grep -q waiting out; do
        sleep 0.02
    done
    kill -STOP "$recorder"
    touch go
    sleep "$1"
    kill -CONT "$recorder"
    status=0
    wait "$recorder" || status=$?
    grep -q "malloc $3" out || fail 'the program did not go on'
}

test_a_recorder_that_is_slow_loses_nothing_of_a_program_without_environment() {
    record_with_a_stop 2 bare-wait-churn 1500000
    expect_status 0
    expect_err ', none lost, of '
    lines_of x.trace
    mallocs=$(count ' malloc ')
    [ "$mallocs" -ge 1500000 ] || fail "only $mallocs of 1500000 are there"
}

test_what_a_recorder_that_hangs_has_missed_is_counted() {
    record_with_a_stop 12 wait-churn 1500000
    expect_status 125
    expect_err_pattern ', [0-9]+ lost, incomplete, of '
    lost=$(sed -n 's/.* \([0-9]*\) lost, .*/\1/p' err)
    events=$(sed -n 's/.*: \([0-9]*\) events, .*/\1/p' err)
    sum=$((lost + events))
    [ "$sum" -ge 2999700 ] && [ "$sum" -le 3000200 ] || fail "$events events and $lost lost are not all"
}

test_a_folder_that_is_not_there_lets_the_program_run() {
    needs_recorder
    run record -o no/such/folder/x.trace -- "$asker" churn 1000
    expect_out 'malloc 1000'
    expect_err "in 'no/such/folder/x.trace': No such file or directory"
    expect_status 125
    reject_err 'asked nothing of memory'
}

test_a_pipe_that_nobody_reads_is_refused() {
    needs_recorder
    mkfifo pipe || skip 'there are no pipes with names'
    run record -o pipe -- "$asker" churn 1000
    expect_status 125
    expect_out 'malloc 1000'
    expect_err "in 'pipe': nobody reads it"
    cat pipe >x.trace &
    reader=$!
    sleep 0.2
    run record -o pipe -- "$asker" churn 1000
    expect_status 0
    wait "$reader"
    lines_of x.trace
    expect_order
}

test_a_second_interrupt_ends_a_recorder_that_cannot_write() {
    needs_recorder
    mkfifo pipe || skip 'there are no pipes with names'
    sh -c 'exec 3<pipe; echo $$ >reader; exec sleep 60' &
    status=0
    sleep 0.2
    : >out
    "$tarn" record -o pipe -- "$asker" noise 300000 >out 2>err &
    recorder=$!
    until grep -q 'malloc 300000' out; do
        sleep 0.05
    done
    sleep 0.5
    kill -INT "$recorder"
    sleep 0.5
    kill -0 "$recorder" || fail 'the first interrupt has ended it'
    kill -INT "$recorder"
    wait "$recorder" || status=$?
    kill "$(cat reader)"
    expect_status 125
    expect_err 'tarn record: error: ended before all was written'
}

test_whoever_has_not_the_key_is_not_recorded() {
    needs_recorder
    run record -o 'x.%p.trace' -- sh -c 'TARN_RECORD=${TARN_RECORD%:*}:00000000000000000000000000000000 "$0" churn 10; :' "$asker"
    expect_status 0
    expect_out 'malloc 10'
    [ "$(find . -name 'x.*.trace' | wc -l)" -eq 1 ] || fail "there are $(ls)"
    lines_of x.*.trace
    expect_count 1 '^info "command" "sh -c'
}

test_whoever_connects_and_says_nothing_keeps_nobody_waiting() {
    [ -x /usr/bin/python3 ] || skip 'there is no /usr/bin/python3'
    needs_recorder
    run record --stacks=none -o 'x.%p.trace' -- /usr/bin/python3 -c '
import os, socket, subprocess, sys, time
name = os.environ["TARN_RECORD"].split(":")[0]
peers = []
for i in range(100):
    peers.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    peers[-1].connect("\0" + name)
start = time.monotonic()
subprocess.run([sys.argv[1], "churn", "10"])
print(time.monotonic() - start < 3)' "$asker"
    expect_status 0
    grep -qx True out || fail 'it had to wait'
    [ "$(find . -name 'x.*.trace' | wc -l)" -ge 2 ] || fail "there are $(ls)"
}

# ---------------------------------------------------------------------------------------------------------------
# Stacks.

test_stacks_are_those_of_the_callers() {
    record -- "$asker" deep 10
    expect_status 0
    stack=$(sed -n 's/.* size 100001 stack //p' lines)
    frames=$(sed -n "s/^stack $stack //p" lines)
    # Eleven times deep(), from main(), from libc, from _start: nothing of the recorder.
    number=$(echo "$frames" | wc -w)
    [ "$number" -ge 14 ] && [ "$number" -le 16 ] || fail "$number frames: $frames"
    # Ten of them return to the same place in deep().
    same=$(echo "$frames" | tr ' ' '\n' | sort | uniq -c | sort -rn | awk 'NR == 1 { print $1 }')
    [ "$same" -ge 9 ] || fail "no recursion in: $frames"
    stack=$(sed -n 's/.* size 100002 stack //p' lines)
    frames=$(sed -n "s/^stack $stack //p" lines)
    number=$(echo "$frames" | wc -w)
    [ "$number" -ge 9 ] && [ "$number" -le 11 ] || fail "$number frames with variable arrays: $frames"
}

test_errno_is_left_alone_where_a_walk_ends_at_memory_that_is_not_there() {
    record -- "$asker" small-stack
    expect_status 0
    expect_count 1 ' malloc 0x[0-9a-f]+ size 100001 stack '
}

test_a_return_address_that_is_none_ends_the_stack() {
    record -- "$asker" wrong-return
    expect_status 0
    expect_count 1 ' malloc 0x[0-9a-f]+ size 100001 stack '
}

test_low_numbers_of_files_are_left_to_the_program() {
    needs_recorder
    ls /proc/self/fd >expected
    run record -o x.trace -- ls /proc/self/fd
    expect_status 0
    # The command may have been given more than 100 files.
    awk '$1 < 100' expected >low_expected
    awk '$1 < 100' out >low
    cmp -s low_expected low || fail "there are $(tr '\n' ' ' <low)instead of $(tr '\n' ' ' <low_expected)"
    lines_of x.trace
    expect_count 0 ' malloc 0x[0-9a-f]+ size [0-9]+$'
}

test_deep_stacks_are_cut_outside() {
    record -- "$asker" deep 5000
    expect_status 0
    stack=$(sed -n 's/.* size 100001 stack //p' lines)
    frames=$(sed -n "s/^stack $stack //p" lines)
    [ "$(echo "$frames" | wc -w)" -eq 256 ] || fail "not 256 frames: $(echo "$frames" | wc -w)"
}

test_stacks_may_be_left_out_or_sampled() {
    record --stacks=none -- "$asker" churn 20000
    expect_count 0 ' stack '
    expect_count 1 '^info "stacks" "none"'
    record --stacks=sampled:10K -- "$asker" churn 20000
    expect_count 1 '^info "sample_bytes" "10240"'
    sampled=$(count ' malloc .* stack ')
    # 250 bytes each, so one in about forty.
    [ "$sampled" -ge 300 ] && [ "$sampled" -le 750 ] || fail "$sampled of 20000 have a stack"
}

test_frees_have_stacks_when_all_is_asked_for() {
    record --stacks=all -- "$asker" churn 1000
    expect_count 0 ' (malloc|free) 0x[0-9a-f]+( size [0-9]+)?$'
    record -- "$asker" churn 1000
    expect_count 0 ' free 0x[0-9a-f]+ stack '
    expect_count 0 ' malloc 0x[0-9a-f]+ size [0-9]+$'
}

test_blocks_are_told_by_addresses_when_asked() {
    record --addresses --stacks=none -- "$asker" threads 3 20000
    expect_status 0
    expect_count 1 '^info "blocks" "addresses"'
    expect_count 0 ' (malloc|free|new\[\]) 0x[0-9a-f]{15}'
    expect_order
    record --stacks=none -- "$asker" churn 20000
    expect_count 1 '^info "blocks" "names"'
    # No name is given twice.
    twice=$(sed -n 's/.* malloc \(0x[0-9a-f]*\) .*/\1/p' lines | sort | uniq -d)
    [ -z "$twice" ] || fail "given twice: $twice"
    expect_order
}

test_modules_have_their_build_ids() {
    record --stacks=none -- "$asker" churn 10
    expect_count 1 '^module 0x[0-9a-f]+ size 0x[0-9a-f]+ bias 0x[0-9a-f]+ build-id [0-9a-f]{40} ".*/asker"$'
    expect_count 1 '^module .* build-id [0-9a-f]{40} ".*/libc\.so\.6"$'
}

# ---------------------------------------------------------------------------------------------------------------
# Tarn's own pools.

# expect_pool NUMBER SIZE... - the pool gave one block of each size, and nothing else.
expect_pool() {
    pool=$1
    [ -n "$pool" ] || fail 'a pool is missing'
    shift
    expect_count $# " pool_alloc 0x[0-9a-f]+ size .*pool $pool( |\$)"
    for size in "$@"; do
        expect_count 1 " pool_alloc 0x[0-9a-f]+ size $size .*pool $pool( |\$)"
    done
}

test_pools_of_libtarn_are_recorded_by_name() {
    for program in pools pools-shared; do
        [ -x "$fixtures/$program" ] || skip "there is no $program"
        rm -f x.*
        needs_recorder
        run record -o 'x.%p.trace' -- "$fixtures/$program"
        expect_status 0
        expect_out 'done'
        child=
        for file in x.*.trace; do
            lines_of "$file"
            [ "$(count pool_close)" -gt 0 ] || { child=$file; continue; }
            arena=$(sed -n 's/^pool \([0-9]*\) parent 0 "arena" "requests"$/\1/p' lines)
            messages=$(sed -n "s/^pool \([0-9]*\) parent $arena \"pool\" \"messages\"\$/\1/p" lines)
            inner=$(sed -n "s/^pool \([0-9]*\) parent $arena \"arena\" \"child\"\$/\1/p" lines)
            [ -n "$arena" ] && [ -n "$messages" ] && [ -n "$inner" ] || fail 'the pools are not as they should be'
            expect_count 2 " pool_alloc 0x[0-9a-f]+ size 4712 .*pool $messages stack [0-9]+\$"
            expect_count 1 " pool_free 0x[0-9a-f]+ pool $messages( |\$)"
            expect_count 1 " pool_alloc 0x[0-9a-f]+ size 4713 .*pool $arena( |\$)"
            expect_count 1 " pool_alloc 0x[0-9a-f]+ size 4714 .*pool $arena( |\$)"
            expect_count 1 " pool_alloc 0x[0-9a-f]+ size 4715 .*pool $inner( |\$)"
            expect_count 1 " pool_alloc 0x[0-9a-f]+ size 4716 alignment 64 pool $inner( |\$)"
            expect_count 1 " pool_free 0x[0-9a-f]+ pool $inner( |\$)"
            expect_count 1 " pool_reset pool $inner( |\$)"
            expect_count 1 " pool_reset pool $messages( |\$)"
            strip=$(sed -n "s/^pool \([0-9]*\) parent $arena \"region\" \"strip\"\$/\1/p" lines)
            expect_count 1 " pool_alloc 0x[0-9a-f]+ size 4717 .*pool $strip( |\$)"
            expect_count 1 " pool_alloc 0x[0-9a-f]+ size 4718 .*pool $strip( |\$)"
            expect_count 2 " pool_free 0x[0-9a-f]+ pool $strip( |\$)"
            expect_count 1 " pool_reset pool $strip( |\$)"
            nodes=$(sed -n 's/^pool \([0-9]*\) parent 0 "two-level" "nodes"$/\1/p' lines)
            expect_pool "$nodes" 41 42 4721 4722 4723
            expect_count 4 " pool_free 0x[0-9a-f]+ pool $nodes( |\$)"
            expect_count 1 " pool_reset pool $nodes( |\$)"
            own=$(sed -n 's/^pool \([0-9]*\) parent 0 "two-level" "twolevel"$/\1/p' lines)
            expect_pool "$own" 43
            expect_count 1 " pool_free 0x[0-9a-f]+ pool $own( |\$)"
            texts=$(sed -n 's/^pool \([0-9]*\) parent 0 "movable" "texts"$/\1/p' lines)
            expect_pool "$texts" 4731 4732 4733
            expect_count 3 " pool_free 0x[0-9a-f]+ pool $texts( |\$)"
            levels=$(sed -n 's/^pool \([0-9]*\) parent 0 "overlay" "levels"$/\1/p' lines)
            expect_pool "$levels" 4741 4742
            expect_count 2 " pool_free 0x[0-9a-f]+ pool $levels( |\$)"
            session=$(sed -n 's/^pool \([0-9]*\) parent 0 "malloc heap" "session"$/\1/p' lines)
            expect_pool "$session" 4751 475200 4753 4754
            expect_count 3 " pool_free 0x[0-9a-f]+ pool $session( |\$)"
            expect_count 1 " pool_reset pool $session( |\$)"
            for pool in $arena $messages $inner $strip $nodes $texts $levels $session; do
                expect_count 1 " pool_close pool $pool( |\$)"
            done
        done
        # The child has its parent's pools.
        lines_of "$child"
        expect_count 1 '"pool" "messages"$'
        expect_count 1 " pool_free 0x[0-9a-f]+ pool $messages( |\$)"
    done
}

# ---------------------------------------------------------------------------------------------------------------
# Files.

test_a_trace_that_was_cut_is_read_to_its_last_part() {
    record --stacks=none -- "$asker" churn 100000
    size=$(wc -c <x.trace)
    head -c $((size - 100)) x.trace >cut.trace
    run trace cut.trace
    expect_status 0
    expect_err_pattern "^tarn trace: warning: 'cut.trace' was cut short at offset [0-9]+; what comes before it is whole"
}

test_what_a_program_is_called_does_no_harm_to_a_terminal() {
    record --stacks=none -- "$asker" churn 10 "$(printf 'a\302\233b\177c\233d\303\251')"
    expect_status 0
    run trace x.trace
    shown='a\xc2\x9bb\x7fc\x9bd'$(printf '\303\251')
    grep -qF -e "$shown" out || fail 'the summary does not show it in hexadecimal'
    grep -qF -e "$shown" lines || fail 'the lines do not show it in hexadecimal'
    ! LC_ALL=C grep -qF -e "$(printf '\233')" out lines err || fail 'a terminal would obey'
}

test_a_trace_that_was_altered_is_refused_with_the_offset() {
    record --stacks=none -- "$asker" churn 100000
    python3 - <<'PYTHON' || skip 'there is no python3'
data = bytearray(open('x.trace', 'rb').read())
data[len(data) // 2] ^= 0x10
open('altered.trace', 'wb').write(data)
data[16] = 7
open('newer.trace', 'wb').write(data)
PYTHON
    run trace altered.trace
    expect_status 1
    expect_err_pattern "^tarn trace: error: 'altered.trace', offset [0-9]+: "
    run trace newer.trace
    expect_status 1
    expect_err_line "tarn trace: error: 'newer.trace', offset 16: the trace has format 7.0; this reads up to 1.x"
}

test_the_file_is_a_sequence_of_zstd_frames() {
    command -v zstd >/dev/null || skip 'there is no zstd'
    record --stacks=none -- "$asker" churn 1000
    zstd -q -t x.trace 2>/dev/null || zstd -q -dc <x.trace >/dev/null || fail 'zstd cannot unpack it'
}

# ---------------------------------------------------------------------------------------------------------------
# Real programs.

test_python3_is_recorded() {
    [ -x /usr/bin/python3 ] || skip 'there is no /usr/bin/python3'
    needs_recorder
    status=0
    PYTHONMALLOC=malloc "$tarn" record -o x.trace -- /usr/bin/python3 -c '
import json
text = json.dumps([{str(k): [k / 7] * 10 for k in range(100)} for i in range(100)])
print(len(json.dumps(json.loads(text))) == len(text))' >out 2>err || status=$?
    expect_status 0
    expect_out True
    lines_of x.trace
    [ "$(count ' malloc ')" -gt 100000 ] || fail 'that cannot be all'
    expect_order
}

test_gcc_compiling_is_recorded_process_by_process() {
    command -v gcc >/dev/null || skip 'there is no gcc'
    needs_recorder
    echo 'int main(void) { return 0; }' >a.c
    run record -o 'x.%p.trace' -- gcc -O2 a.c -o a
    expect_status 0
    [ -x a ] || fail 'it did not compile'
    found=0
    for file in x.*.trace; do
        lines_of "$file"
        expect_order
        grep -qE '^info "command" "(.*/)?(cc1|as|collect2|ld|gcc)[ "]' lines && found=$((found + 1))
    done
    [ "$found" -ge 4 ] || fail "only $found of its programs are there"
}

test_redis_under_load_is_recorded() {
    PATH=$PATH:/usr/sbin:/sbin
    command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null || skip 'there is no redis'
    needs_recorder
    "$tarn" record -o x.trace -- redis-server --port 0 --unixsocket "$PWD/socket" --save '' --dir "$PWD" \
        --daemonize no >server 2>err &
    recorder=$!
    tries=0
    until redis-cli -s "$PWD/socket" ping >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { kill "$recorder"; fail 'redis-server does not answer'; }
        sleep 0.05
    done
    redis-benchmark -s "$PWD/socket" -q -n 20000 -r 5000 -t set,lpush,sadd >out 2>&1
    redis-cli -s "$PWD/socket" shutdown nosave >/dev/null 2>&1
    status=0
    wait "$recorder" || status=$?
    expect_status 0
    lines_of x.trace
    [ "$(count ' (malloc|calloc|realloc) ')" -gt 60000 ] || fail 'that cannot be all'
    expect_order
}

# ---------------------------------------------------------------------------------------------------------------
# Programs that run already.

malloc_library() { echo "$(dirname "$tarn")/../lib/libtarn-malloc.so"; }

# start_resident ARGUMENT... - starts the program; `round` has it play one.
start_resident() {
    needs_recorder
    [ -f "$(malloc_library)" ] || skip 'there is no libtarn-malloc beside this tarn'
    [ "$(uname -m)" = x86_64 ] || skip 'this is for x86-64'
    mkfifo commands
    LD_PRELOAD=$(malloc_library) "$fixtures/${program:-resident}" "$@" <commands >said 2>err &
    resident=$!
    exec 5>commands
    rounds=0
    expect_said ready
}

# expect_said LINE - waits until the program has printed it.
expect_said() {
    tries=0
    until grep -qx -e "$1" said; do
        tries=$((tries + 1))
        [ $tries -lt 1000 ] || fail "the program does not say '$1'"
        sleep 0.02
    done
}

round() {
    rounds=$((rounds + 1))
    echo >&5
    expect_said "$rounds"
}

end_resident() {
    exec 5>&-
    status=0
    wait "$resident" || status=$?
    [ "$status" -eq 0 ] && grep -qx whole said || fail "the program ended with $status: $(tail -n 1 said) $(cat err)"
}

# attach FILE - records the program until detach.
attach() {
    : >note
    "$tarn" record --pid "$resident" -o "$1" >/dev/null 2>note 5>&- &
    recorder=$!
    tries=0
    until grep -q 'recording process' note; do
        tries=$((tries + 1))
        [ $tries -lt 500 ] && kill -0 "$recorder" || fail "it cannot be recorded: $(cat note)"
        sleep 0.02
    done
}

detach() {
    kill -INT "$recorder"
    status=0
    wait "$recorder" || status=$?
    expect_status 0
    grep -q 'none lost' note || fail "no summary: $(cat note)"
}

# expect_rounds N FILE - the trace has what N rounds ask for, and the order of it.
expect_rounds() {
    lines_of "$2"
    expect_count $((2000 * $1)) ' malloc 0x.* size 1001( |$)'
    expect_count $((2000 * $1)) ' realloc 0x.* size 3001( |$)'
    expect_count $((2000 * $1)) ' new\[\] 0x.* size 77( |$)'
    expect_count $((2000 * $1)) ' new 0x.* size 192 alignment 64( |$)'
    expect_count $((2000 * $1)) ' calloc 0x.* size 1000( |$)'
    expect_count $((2000 * $1)) ' delete\[\] '
    # The program's end deletes some more.
    [ "$(count ' delete ')" -ge $((2000 * $1)) ] || fail 'deletes are missing'
}

test_a_running_program_is_recorded_from_then_on() {
    start_resident
    round
    attach x.trace
    round
    round
    detach
    round
    end_resident
    expect_rounds 2 x.trace
    expect_order
    grep -q '^stack ' lines || fail 'there are no stacks'
}

test_a_running_program_is_recorded_again_and_again_while_it_works() {
    start_resident busy
    for i in 1 2 3 4 5 6; do
        attach "x$i.trace"
        round
        detach
        expect_rounds 1 "x$i.trace"
        round
    done
    # While rounds are under way.
    for i in 1 2 3 4 5 6 7 8; do
        echo >&5
        attach y.trace
        echo >&5
        detach
    done
    expect_said $((rounds + 16))
    end_resident
}

test_a_running_program_that_ends_ends_its_recording() {
    start_resident
    attach x.trace
    round
    end_resident
    status=0
    wait "$recorder" || status=$?
    expect_status 0
    expect_rounds 1 x.trace
}

test_a_running_program_is_recorded_after_a_recorder_that_was_killed() {
    start_resident
    attach x.trace
    run record --pid "$resident"
    expect_status 125
    expect_err_line "tarn record: error: process $resident is being recorded already; end that first"
    kill -KILL "$recorder"
    wait "$recorder" || true
    round
    attach y.trace
    round
    detach
    end_resident
    expect_rounds 1 y.trace
}

test_a_running_program_is_recorded_for_a_while() {
    start_resident
    run record --pid "$resident" --duration 0.3s -o x.trace
    expect_status 0
    expect_err 'none lost'
    round
    end_resident
}

# start_restless WORD - starts one of the programs that are hard to stop.
start_restless() {
    program=restless start_resident "$1"
}

# attach_times N - records the program so often, a moment each time.
attach_times() {
    for _ in $(seq "$1"); do
        run record --pid "$resident" --duration 20ms --stacks=none -o x.trace
        expect_status 0
        expect_err 'none lost'
    done
}

test_a_running_program_that_forks_all_the_time_goes_on_when_it_is_recorded() {
    start_restless fork
    attach_times 8
    end_resident
}

test_a_running_program_that_starts_threads_all_the_time_goes_on_when_it_is_recorded() {
    start_restless threads
    attach_times 8
    end_resident
}

test_a_running_program_on_a_small_stack_keeps_what_is_below_it() {
    start_restless coroutine
    attach_times 2
    end_resident
}

test_a_running_program_is_not_changed_under_a_handler_that_returns_into_free() {
    start_restless hold
    # It returns after a second.
    run record --pid "$resident" --duration 1.2s --stacks=none -o x.trace
    expect_status 0
    end_resident
}

test_a_running_program_whose_first_thread_has_ended_is_recorded() {
    start_restless leave
    attach_times 2
    end_resident
    lines_of x.trace
    [ "$(count ' malloc 0x.* size 100$')" -gt 0 ] || fail 'nothing was recorded'
}

test_a_running_program_that_executes_another_ends_its_recording_and_is_left_alone() {
    start_restless execute
    attach x.trace
    echo >&5
    status=0
    wait "$recorder" || status=$?
    expect_status 0
    grep -q "process $resident has executed another program, which is not recorded" note ||
        fail "it is not said: $(cat note)"
    end_resident
}

test_a_running_program_uses_the_same_addresses_each_time_it_is_recorded() {
    start_restless rest
    attach_times 2
    size=$(sed -n 's/^VmSize:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$resident/status")
    attach_times 4
    now=$(sed -n 's/^VmSize:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$resident/status")
    [ "$now" -le $((size + 1024)) ] || fail "it has grown from $size to $now KiB"
    end_resident
}

test_a_running_program_that_is_stopped_is_refused_at_once_and_stays_stopped() {
    start_restless rest
    kill -STOP "$resident"
    run record --pid "$resident"
    expect_status 125
    expect_err "process $resident is stopped (SIGSTOP, or Ctrl-Z); let it go on first: kill -CONT $resident"
    grep -q '^State:.T' "/proc/$resident/status" || fail 'it is not stopped any more'
    kill -CONT "$resident"
    attach_times 1
    end_resident
}

test_a_running_program_that_forbids_itself_calls_of_the_kernel_is_refused() {
    start_restless filter
    run record --pid "$resident"
    expect_status 125
    expect_err "process $resident has forbidden itself calls of the kernel (seccomp)"
    end_resident
}

test_a_running_program_that_was_preloaded_and_recorded_before_is_recorded_again() {
    needs_recorder
    [ "$(uname -m)" = x86_64 ] || skip 'this is for x86-64'
    mkfifo commands
    # The program outlives the shell, and then the recording.
    LD_PRELOAD=$(malloc_library) "$tarn" record -o first.%p.trace -- \
        sh -c '"$1" <commands >said & echo $! >number' sh "$fixtures/resident" 2>first_err &
    recorder=$!
    exec 5>commands
    rounds=0
    expect_said ready
    resident=$(cat number)
    round
    sleep 0.2
    kill -INT "$recorder"
    wait "$recorder" || true
    attach x.trace
    round
    detach
    round
    exec 5>&-
    expect_said whole
    expect_rounds 1 x.trace
}

test_a_process_that_cannot_be_recorded_is_refused_with_the_reason() {
    needs_recorder
    sleep 60 &
    other=$!
    run record --pid $other
    expect_status 125
    expect_err "process $other does not run on libtarn-malloc, the one allocator in which recording can be switched on"
    kill $other
    wait $other || true
    run record --pid $other
    expect_status 125
    expect_err_line "tarn record: error: there is no process $other"
    run record --pid 0
    expect_status 125
    expect_err "--pid takes a number from 1 to 2147483647, not '0'"
    run record --pid 1 -- true
    expect_status 125
    expect_err_line 'tarn record: error: --pid takes no program'
    run record --duration 1s -- true
    expect_status 125
    expect_err_line 'tarn record: error: --duration is for --pid'
    ls x.trace tarn.* 2>/dev/null && fail 'a file was left'
    true
}

"test_$test_name"
