#!/bin/sh
# SPDX-License-Identifier: MIT
#
# cli.sh TARN FIXTURES TEST - runs one test of the command. The functions named test_* are the tests; each is a
# sentence about behaviour. Exits with 77 where a test cannot be run, and says why.
#
# shellcheck disable=SC2016 # what is in single quotes is for another shell
#
# In FIXTURES: victim (its first argument says what it does, see victim.c), stand-in allocators and bad ones.

# shellcheck source=tests/cli/steps.sh
. "$(dirname "$0")/steps.sh"
victim=$fixtures/victim

# For tests in which something is preloaded into tarn itself, or its own memory counts.
needs_plain_tarn() {
    case $("$tarn" __probe 2>/dev/null) in
    *libc*) ;;
    *) skip 'a sanitizer in tarn leaves no room for another malloc in it' ;;
    esac
}

# ---------------------------------------------------------------------------------------------------------------
# The command itself.

test_help_names_the_commands_and_goes_to_standard_output() {
    for word in --help -h help; do
        run $word
        expect_status 0
        expect_no_err
        grep -q '^Usage: tarn COMMAND' out || fail "no usage from $word"
        grep -q '^  run ' out || fail "no run in the help of $word"
        ! grep -q __probe out || fail "the hidden command is in the help of $word"
    done
}

test_help_of_run_names_every_option() {
    for words in 'run --help' 'run -h' 'help run'; do
        # shellcheck disable=SC2086 # words are meant
        run $words
        expect_status 0
        expect_no_err
        for option in --stats --compare --runs --warmup --json --quiet --help; do
            grep -q -e "$option" out || fail "no $option in: tarn $words"
        done
        [ "$(wc -L <out)" -le 80 ] || fail "the help is wider than 80 columns"
    done
}

test_version_is_that_of_the_header() {
    run --version
    expect_status 0
    base=$here/../../include/tarn/base.h
    expect_out "tarn $(sed -n 's/^#define TARN_VERSION_[A-Z]* //p' "$base" | paste -sd.)"
}

test_no_command_is_a_usage_error() {
    run
    expect_status 2
    expect_err_line 'tarn: error: no command given'
    expect_err_line "Try 'tarn --help'."
}

test_an_unknown_command_is_answered_with_the_nearest() {
    run rnu
    expect_status 2
    expect_err_line "tarn: error: unknown command 'rnu'; did you mean 'run'?"
    run xyzzy
    expect_status 2
    expect_err_line "tarn: error: unknown command 'xyzzy'"
    run --verison
    expect_status 2
    expect_err_line "tarn: error: unknown option '--verison'; did you mean '--version'?"
}

test_an_unknown_option_of_run_is_answered_with_the_nearest() {
    run run --comapre -- true
    expect_status 125
    expect_err_line "tarn run: error: unknown option '--comapre'; did you mean '--compare'?"
    expect_err_line "Try 'tarn run --help'."
    run run --zzz=1 -- true
    expect_status 125
    expect_err_line "tarn run: error: unknown option '--zzz'"
    run run -x -- true
    expect_status 125
    expect_err_line "tarn run: error: unknown option '-x'"
}

test_a_bad_value_of_an_option_says_what_is_taken() {
    for value in 0 -1 x 1x '' 1001 99999999999999999999; do
        run run --runs "$value" -- true
        expect_status 125
        expect_err_line "tarn run: error: --runs takes a number from 1 to 1000, not '$value'"
    done
    run run --warmup=-1 -- true
    expect_status 125
    expect_err_line "tarn run: error: --warmup takes a number from 0 to 1000, not '-1'"
    run run --stats=yes -- true
    expect_status 125
    expect_err_line 'tarn run: error: --stats takes no value'
    run run --runs
    expect_status 125
    expect_err_line 'tarn run: error: --runs takes a value'
}

test_a_value_that_is_not_joined_to_its_option_is_noticed() {
    run run --compare libx.so -- true
    expect_status 125
    expect_err_line 'tarn run: error: the value of --compare is joined to it: --compare=libx.so'
}

test_no_program_is_a_usage_error() {
    for words in 'run' 'run --' 'run --compare --'; do
        # shellcheck disable=SC2086 # words are meant
        run $words
        expect_status 125
        expect_err_line 'tarn run: error: no program given'
    done
}

test_a_full_disk_under_the_help_is_an_error() {
    status=0
    "$tarn" --help >/dev/full 2>err || status=$?
    expect_status 1
    expect_err 'cannot write to standard output: No space left on device'
}

# ---------------------------------------------------------------------------------------------------------------
# One run.

test_the_program_runs_on_the_preloaded_library() {
    run run -- "$victim" identity
    expect_status 0
    expect_out "$fixtures/libstandin.so"
    # A relative path must hold for programs that change their directory.
    mkdir below
    cp "$fixtures/libstandin.so" libmine.so
    TARN_MALLOC_SO=./libmine.so
    run run -- sh -c "cd below && exec '$victim' identity"
    expect_out "$scratch/libmine.so"
}

test_arguments_reach_the_program_as_they_are() {
    run run -- "$victim" arguments --runs '' 'a b' -- '*' -q
    expect_status 0
    expect_out "$(printf '[--runs]\n[]\n[a b]\n[--]\n[*]\n[-q]')"
    # Without "--", options end at the program.
    run run "$victim" arguments --stats
    expect_status 0
    expect_out '[--stats]'
}

test_the_exit_status_is_the_programs() {
    for code in 0 1 3 125 255; do
        run run -- "$victim" exit $code
        expect_status $code
        run run --quiet -- "$victim" exit $code
        expect_status $code
    done
}

test_a_program_that_dies_by_a_signal_is_named_with_it() {
    run run -- "$victim" die 11
    expect_status 139
    expect_err_line "tarn run: error: '$victim' was ended by SIGSEGV (Segmentation fault)"
    run run -- "$victim" die 15
    expect_status 143
    expect_err_line "tarn run: error: '$victim' was ended by SIGTERM (Terminated)"
    # 40 has no name.
    run run -- "$victim" die 40
    expect_status 168
    expect_err_line "tarn run: error: '$victim' was ended by signal 40"
}

test_the_table_shows_what_the_run_cost() {
    run run -- "$victim" touch 40
    expect_status 0
    expect_out ''
    expect_err_line "$victim touch 40"
    expect_err_pattern '^allocator +wall +CPU +user +system +peak mem +faults +major +exit$'
    expect_err_pattern '^tarn +[0-9.]+ [mu]?s .* 4[0-9]\.[0-9] MiB +[0-9,]+ +[0-9]+ +0$'
    ! grep -q ' $' err || fail 'a line ends in blanks'
}

test_quiet_prints_nothing_and_becomes_the_program() {
    run run --quiet -- sh -c 'echo $PPID'
    expect_status 0
    expect_out $$
    expect_no_err
}

test_standard_streams_pass_through_untouched() {
    printf 'some\0bytes\377' >in
    status=0
    "$tarn" run -- "$victim" cat <in >out 2>err || status=$?
    expect_status 0
    cmp -s in out || fail 'bytes were changed'
    # With a pipe as input, nothing is read ahead: what the program leaves is there for the next.
    printf 'one\ntwo\n' >in
    { "$tarn" run -q -- sh -c 'read -r line; echo "$line"'; cat; } <in >out 2>err
    expect_out "$(printf 'one\ntwo')"
}

test_signals_and_descriptors_are_as_the_caller_left_them() {
    for flag in -- --quiet; do
        (trap '' HUP USR2 && exec "$tarn" run $flag "$victim" signals >out 2>err)
        (trap '' HUP USR2 && exec "$victim" signals >expected)
        grep -qx 'ignored 12' expected || fail 'the test itself ignores nothing'
        cmp -s out expected || fail "the program has other signals than without tarn: $(cat expected)"
        "$tarn" run $flag "$victim" descriptors >out 2>err </dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
        "$victim" descriptors >expected 2>/dev/null </dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
        cmp -s out expected || fail "the program has other descriptors than without tarn: $(cat expected)"
    done
    # Closed standard descriptors stay closed, and none of ours takes their place.
    "$tarn" run -- "$victim" descriptors 0<&- >out 2>&-
    ! grep -qx '[02]' out || fail 'a closed descriptor was open in the program'
    # A file of ours there would get the table.
    "$tarn" run --json=j -- true 2>&-
    expect_json j 'd["format"]' tarn-run
}

test_stats_are_appended_to_the_options_there_are() {
    run run -- "$victim" environment TARN_CONF
    expect_out '(unset)'
    run run --stats -- "$victim" environment TARN_CONF
    expect_out 'stats:1'
    run_with "TARN_CONF=decay_ms:0" run --stats --quiet -- "$victim" environment TARN_CONF
    expect_out 'decay_ms:0,stats:1'
}

test_the_library_comes_after_what_is_preloaded_already() {
    needs_plain_tarn
    run_with "LD_PRELOAD=$fixtures/libempty.so" run -- "$victim" environment LD_PRELOAD
    expect_out "$fixtures/libempty.so:$fixtures/libstandin.so"
    # One that is there already is not preloaded twice, nor under the system's malloc.
    run_with "LD_PRELOAD=$fixtures/libstandin.so $fixtures/libempty.so" run -- "$victim" environment LD_PRELOAD
    expect_out "$fixtures/libempty.so:$fixtures/libstandin.so"
}

test_an_allocator_that_comes_first_is_warned_of() {
    needs_plain_tarn
    run_with "LD_PRELOAD=$fixtures/libother.so" run -- "$victim" identity
    expect_status 0
    expect_out "$fixtures/libother.so"
    expect_err "tarn may not be in use: LD_PRELOAD has '$fixtures/libother.so' already"
}

# ---------------------------------------------------------------------------------------------------------------
# Programs that cannot be run, or not on Tarn.

test_a_missing_program_is_127() {
    for flag in --compare --quiet --runs=2; do
        run run $flag -- no-such-program
        expect_status 127
        expect_err_line "tarn run: error: there is no program 'no-such-program' in PATH; install it or give its path"
        run run $flag -- ./no/such
        expect_status 127
        expect_err_line "tarn run: error: there is no program './no/such'; check its path"
    done
    cp "$victim" here
    run run -- here
    expect_status 127
    expect_err "there is no program 'here' in PATH; './here' is the one in this directory"
    run run -- ''
    expect_status 127
    expect_err 'the name of the program is empty'
}

test_a_file_that_is_not_executable_is_126() {
    echo hello >plain
    chmod 644 plain
    run run -- ./plain
    expect_status 126
    expect_err_line "tarn run: error: './plain' is not executable; 'chmod +x ./plain' makes it so"
    run run -- /tmp
    expect_status 126
    expect_err_line "tarn run: error: '/tmp' is a directory, not a program"
    # In PATH as well, and only when there is no better one further on.
    mkdir first second
    cp plain first/tool
    run_with "PATH=$scratch/first:$scratch/second:$PATH" run -- tool
    expect_status 126
    expect_err "'$scratch/first/tool' is not executable"
    printf '#!/bin/sh\necho better\n' >second/tool
    chmod +x second/tool
    run_with "PATH=$scratch/first:$scratch/second:$PATH" run -- tool
    expect_status 0
    expect_out better
}

test_a_damaged_or_foreign_program_is_126() {
    head -c 32 "$victim" >short
    cp "$victim" foreign
    printf '\377\376' | dd of=foreign bs=1 seek=18 conv=notrunc 2>/dev/null
    chmod +x short foreign
    run run -- ./short
    expect_status 126
    expect_err "cannot run './short': its ELF file is damaged or cut off"
    run run -- ./foreign
    expect_status 126
    expect_err "Tarn is not in use, because './foreign' is a program for another machine"
    expect_err "cannot run './foreign': it is a program for another machine"
}

test_a_script_runs_by_its_interpreter() {
    printf '#!%s arguments\n' "$victim" >script
    chmod +x script
    run run -- ./script x
    expect_status 0
    expect_out "$(printf '[./script]\n[x]')"
    # Without a first line it is the shell's, as execvp has it.
    printf 'echo "$0 $1"\n' >plain
    chmod +x plain
    run run -- ./plain x
    expect_status 0
    expect_out './plain x'
}

test_a_script_without_its_interpreter_is_127() {
    printf '#!/no/such/interpreter -x\n' >script
    printf '#!/bin/sh\r\necho\r\n' >windows
    chmod +x script windows
    run run -- ./script
    expect_status 127
    expect_err "'./script' asks for the interpreter '/no/such/interpreter', which does not exist"
    run run -- ./windows
    expect_status 127
    expect_err "'./windows' has Windows line ends, so its interpreter '/bin/sh' is not found"
}

test_a_program_without_its_loader_is_127() {
    run run -- "$fixtures/victim-without-loader" exit 0
    expect_status 127
    expect_err "asks for the loader '/no/such/loader.so', which does not exist"
}

test_a_static_program_is_warned_of() {
    run run -- "$fixtures/victim-static" exit 3
    expect_status 3
    expect_err "Tarn is not in use, because '$fixtures/victim-static' is linked statically"
    expect_err_line 'Tarn was not in use: see the warning above.'
    # Also behind a script, and by way of env.
    printf '#!/usr/bin/env victim-static\n' >script
    chmod +x script
    run_with "PATH=$fixtures:$PATH" run --quiet -- ./script
    expect_err "Tarn is not in use, because '$fixtures/victim-static' is linked statically"
}

test_a_program_with_a_malloc_of_its_own_is_warned_of() {
    run run -- "$fixtures/victim-own" identity
    expect_status 0
    expect_out "$fixtures/victim-own"
    expect_err "Tarn is not in use, because '$fixtures/victim-own' defines a malloc of its own"
}

test_a_setuid_program_is_warned_of() {
    [ "$(id -u)" -eq 0 ] || skip 'only root can make a setuid program of somebody else'
    cp "$victim" setuid
    chmod 755 .
    if ! chown 65534 setuid || ! chmod 4755 setuid; then
        skip 'no setuid program can be made here'
    fi
    case $(findmnt -no OPTIONS -T .) in
    *nosuid*) skip 'the scratch directory is mounted nosuid' ;;
    esac
    run run -- ./setuid environment LD_PRELOAD
    expect_err "Tarn is not in use, because './setuid' is setuid, so the loader ignores LD_PRELOAD"
}

test_an_ordinary_program_is_not_warned_of() {
    for program in true sh python3; do
        run run -- "$program" -c '' </dev/null
        reject_err 'not in use'
    done
}

# ---------------------------------------------------------------------------------------------------------------
# Libraries that cannot be used.

test_a_missing_library_of_tarn_says_where_it_was_looked_for() {
    unset TARN_MALLOC_SO
    mkdir bin
    cp "$tarn" bin/tarn
    status=0
    bin/tarn run -- true >out 2>err || status=$?
    expect_status 125
    expect_err "there is no libtarn-malloc.so in $scratch/bin, nor where it is built or installed beside it"
    expect_err 'set TARN_MALLOC_SO to its path'
    # And is found where it belongs: in lib beside bin.
    mkdir lib
    cp "$fixtures/libstandin.so" lib/libtarn-malloc.so
    bin/tarn run -- "$victim" identity >out 2>err
    expect_out "$scratch/lib/libtarn-malloc.so"
}

test_a_library_that_is_none_is_an_error_before_the_run() {
    echo text >text.so
    cp "$fixtures/libstandin.so" narrow.so
    printf '\001' | dd of=narrow.so bs=1 seek=4 conv=notrunc 2>/dev/null
    cp "$fixtures/libstandin.so" foreign.so
    printf '\377\376' | dd of=foreign.so bs=1 seek=18 conv=notrunc 2>/dev/null
    head -c 40 "$fixtures/libstandin.so" >cut.so
    : >empty.so
    cp "$fixtures/libstandin.so" 'a b.so'
    check_library() {
        run_with "TARN_MALLOC_SO=$1" run -- touch ran
        expect_status 125
        expect_err_line "tarn run: error: TARN_MALLOC_SO: '$1' $2"
        run run "--compare=$1" -- touch ran
        expect_status 125
        expect_err_line "tarn run: error: --compare: '$1' $2"
        [ ! -e ran ] || fail 'the program was run'
    }
    check_library ./none.so 'does not exist'
    check_library /tmp/. 'is not a file'
    check_library ./text.so 'is not a shared library (it has no ELF header)'
    check_library ./empty.so 'is not a shared library (it has no ELF header)'
    check_library ./cut.so 'is damaged or cut off (its ELF header does not fit its size)'
    check_library ./narrow.so 'is a 32-bit library, and this is a 64-bit tarn'
    check_library ./foreign.so 'is built for another machine'
    check_library './a b.so' \
        'has a space or a colon in its path, which LD_PRELOAD cannot hold; link it from another place'
}

test_a_library_without_malloc_is_an_error_before_the_run() {
    run run "--compare=$fixtures/libempty.so" -- touch ran
    expect_status 125
    expect_err_line "tarn run: error: '$fixtures/libempty.so' is no allocator: it has no malloc"
    [ ! -e ran ] || fail 'the program was run'
}

test_a_library_that_cannot_load_is_an_error_before_the_run() {
    needs_plain_tarn
    run run "--compare=$fixtures/libabort.so,$fixtures/libnomemory.so,$fixtures/libdependent.so" -- touch ran
    expect_status 125
    expect_err_line "tarn run: error: '$fixtures/libabort.so' does not work: a trial was ended by SIGABRT (Aborted)"
    expect_err_pattern "libnomemory.so' does not work: a trial ended with status 1"
    expect_err_pattern "libdependent.so' .*libgone.so: cannot open shared object file"
    # A program is no library, though it may be position-independent.
    run run "--compare=prog=$victim" -- touch ran
    expect_status 125
    expect_err_pattern "'$victim' cannot be loaded: cannot dynamically load position-independent executable"
    [ ! -e ran ] || fail 'the program was run'
}

test_a_library_that_hangs_while_it_loads_does_not_hang_tarn() {
    needs_plain_tarn
    run run "--compare=$fixtures/libhang.so" -- touch ran
    expect_status 125
    expect_err "'$fixtures/libhang.so' hangs: a trial did not end within 10 seconds"
    [ ! -e ran ] || fail 'the program was run'
}

# ---------------------------------------------------------------------------------------------------------------
# Comparisons.

other() { echo "--compare=other=$fixtures/libother.so"; }

test_a_comparison_runs_on_each_allocator() {
    run run "$(other)" --json=j -- "$victim" identity
    expect_status 0
    expect_out "$fixtures/libstandin.so"
    expect_json j '[a["name"] for a in d["allocators"]]' "['tarn', 'system', 'other']"
    expect_json j 'd["allocators"][1]["library"]' None
    expect_json j 'd["allocators"][2]["library"]' "$fixtures/libother.so"
    expect_json j '[a["stdout"]["bytes"] == len(a["library"] or "") + 1 for a in d["allocators"]][::2]' '[True, True]'
    expect_err_pattern '^allocator +wall time +CPU time +peak memory +faults +major +exit$'
    for name in tarn system other; do
        expect_err_pattern "^$name +[0-9.]+ m?u?s +[0-9.]+x"
    done
    expect_err_pattern '^system .* 1\.00x'
    expect_err_line "0.90x: to the system's malloc; *: best."
}

test_installed_allocators_are_found_by_the_loaders_rules() {
    run_with "LD_LIBRARY_PATH=$fixtures/found" run --compare --json=j -- "$victim" exit 0
    expect_status 0
    expect_json j '[a["library"] for a in d["allocators"] if a["name"] == "jemalloc"]' "['$fixtures/found/libjemalloc.so.2']"
    run_with "LD_LIBRARY_PATH=$fixtures/found" run --compare=jemalloc --json=j -- "$victim" exit 0
    expect_json j '[a["name"] for a in d["allocators"]]' "['tarn', 'system', 'jemalloc']"
    run_with "LD_LIBRARY_PATH=$fixtures/found" run --compare=libjemalloc.so.2 --json=j -- "$victim" exit 0
    expect_json j '[a["name"] for a in d["allocators"]]' "['tarn', 'system', 'jemalloc']"
}

test_an_installed_allocator_that_does_not_work_is_left_out() {
    needs_plain_tarn
    mkdir broken
    cp "$fixtures/libabort.so" broken/libjemalloc.so.2
    run_with "LD_LIBRARY_PATH=$scratch/broken" run --compare --json=j -- "$victim" exit 0
    expect_status 0
    expect_err "jemalloc is left out: '$scratch/broken/libjemalloc.so.2' does not work"
    expect_json j '"jemalloc" in [a["name"] for a in d["allocators"]]' False
}

test_a_list_of_allocators_is_checked() {
    run run --compare=jemaloc -- true
    expect_status 125
    expect_err "unknown allocator 'jemaloc'; did you mean 'jemalloc'?"
    run run "$(other),,system" -- true
    expect_status 125
    expect_err '--compare has an empty name in its list'
    run run "$(other),other=$fixtures/libstandin.so" -- true
    expect_status 125
    expect_err "--compare has two allocators with the name 'other'; give one another: NAME=LIBRARY"
    run run --compare=name= -- true
    expect_status 125
    expect_err "'name=' should be NAME=LIBRARY"
    run run --compare=libnowhere.so -- true
    expect_status 125
    expect_err "there is no library 'libnowhere.so' here or where the loader looks"
    # The system's malloc is there anyway, and the same allocator twice is there once.
    run run "$(other),system,other=$fixtures/libother.so" --json=j -- true
    expect_status 0
    expect_json j 'len(d["allocators"])' 3
}

test_figures_are_those_of_the_program() {
    run run "$(other)" --json=j -- "$victim" touch 64
    expect_status 0
    expect_json j 'all(64 << 20 <= a["peak_resident_bytes"]["median"] < 72 << 20 for a in d["allocators"])' True
    # How many page faults that takes is the kernel's affair, but it takes some.
    run run "$(other)" --json=small -- "$victim" touch 1
    for i in 0 1 2; do
        [ "$(json j "d['allocators'][$i]['minor_faults']['median']" | cut -d. -f1)" -gt \
            "$(json small "d['allocators'][$i]['minor_faults']['median']" | cut -d. -f1)" ] || fail 'no more page faults'
    done
    run run "$(other)" --json=j -- "$victim" spin 300
    expect_json j 'all(0.28 < a["cpu_seconds"]["median"] < 0.6 for a in d["allocators"])' True
    expect_json j 'all(a["wall_seconds"]["median"] > 0.28 for a in d["allocators"])' True
    expect_json j 'all(abs(a["runs"][0]["user_seconds"] + a["runs"][0]["system_seconds"] - a["runs"][0]["cpu_seconds"]) < 2e-6 for a in d["allocators"])' True
    run run --json=j -- sleep 0.3
    expect_json j '0.3 <= d["allocators"][0]["wall_seconds"]["median"] < 10' True
    expect_json j 'd["allocators"][0]["cpu_seconds"]["median"] < 0.1' True
}

# The kernel counts what a process holds before execve into the peak of the program; it must be little.
test_a_small_program_is_not_charged_with_tarns_own_memory() {
    needs_plain_tarn
    run run --json=j -- "$fixtures/victim-static" exit 0
    expect_json j 'd["allocators"][0]["peak_resident_bytes"]["median"] < 1100 << 10' True
}

test_several_runs_show_medians_and_ranges() {
    run run "$(other)" --runs 3 --json=j -- "$victim" exit 0
    expect_status 0
    expect_json j 'd["runs"], d["warmup"], [len(a["runs"]) for a in d["allocators"]]' '(3, 0, [3, 3, 3])'
    expect_json j 'all(sorted(r["wall_seconds"] for r in a["runs"]) == [a["wall_seconds"][k] for k in ("least", "median", "most")] for a in d["allocators"])' True
    expect_err_line "Medians of 3 runs, ranges below them; 0.90x: to the system's malloc; *: best."
    [ "$(grep -cE '^ +[0-9.]+-[0-9.]+ [mu]?s +[0-9.]+-[0-9.]+ [mu]?s +[0-9.]+-[0-9.]+ [KM]iB$' err)" -eq 3 ] ||
        fail 'there are not three lines of ranges'
    run run --runs 2 --json=j -- "$victim" exit 0
    expect_status 0
    expect_json j '"ratio" in d["allocators"][0]["wall_seconds"]' False
    expect_err_line 'Medians of 2 runs, ranges below them.'
}

test_rounds_take_turns_in_who_is_first() {
    cat >recorder <<END
#!/bin/sh
echo "\${LD_PRELOAD##*/}" >>'$scratch/order'
END
    chmod +x recorder
    run run "$(other)" --warmup 1 --runs 3 -- ./recorder
    expect_status 0
    [ "$(tr '\n' ' ' <order)" = 'libstandin.so  libother.so libstandin.so  libother.so  libother.so libstandin.so libother.so libstandin.so  ' ] ||
        fail "the order is: $(tr '\n' ' ' <order)"
}

test_output_is_shown_once() {
    run run "$(other)" --runs 2 --warmup 1 -- sh -c 'echo to-out; echo to-err >&2'
    expect_status 0
    expect_out to-out
    [ "$(grep -c '^to-err$' err)" -eq 1 ] || fail 'standard error is not shown once'
    expect_err_line 'Standard output is the same on all of them (7 B).'
}

test_output_that_differs_between_allocators_is_reported() {
    run run "$(other)" --runs 2 -- "$victim" identity-in-line-3
    expect_status 0
    expect_err_pattern '^tarn run: warning: standard output on other differs from that on tarn, first in line 3 \([0-9]+ bytes, not [0-9]+\)$'
    expect_err 'standard output on system differs from that on tarn, first in line 3'
    reject_err 'is the same'
    run run "$(other)" -- "$victim" identity-in-line-3
    expect_err '--runs 2 tells whether it does so on one allocator too'
    # A prefix is a difference too, where it ends.
    cat >prefix <<'END'
#!/bin/sh
echo one
case $LD_PRELOAD in *other*) ;; *) echo two ;; esac
END
    chmod +x prefix
    run run "$(other)" --runs 2 -- ./prefix
    expect_err_pattern 'standard output on other differs from that on tarn(, first in line 2)? \(4 bytes, not 8\)'
    reject_err 'standard output on system differs'
}

test_output_that_differs_by_itself_is_not_blamed_on_an_allocator() {
    run run "$(other)" --runs 2 --json=j -- "$victim" noise
    expect_status 0
    expect_err 'standard output differs from run to run on the same allocator, so it was not compared'
    reject_err 'differs from that on tarn'
    expect_json j 'd["allocators"][0]["stdout"]["same_in_every_run"]' False
}

test_large_output_is_shown_and_compared_whole() {
    run run "$(other)" -- sh -c 'seq 1 400000'
    expect_status 0
    seq 1 400000 | cmp -s - out || fail 'the output was changed'
    expect_err 'Standard output is the same on all of them'
}

test_a_reader_that_leaves_does_not_end_the_comparison() {
    status=0
    { "$tarn" run "$(other)" --json=j -- sh -c 'seq 1 400000' 2>err || echo $? >status_file; } | head -n 1 >out
    expect_out 1
    [ ! -e status_file ] || fail "exit status $(cat status_file)"
    expect_json j '[a["stdout"]["bytes"] for a in d["allocators"]] == [2688895] * 3' True
}

test_children_that_live_on_are_not_waited_for() {
    start=$(date +%s)
    run run "$(other)" -- "$victim" linger
    expect_status 0
    expect_out gone
    [ $(($(date +%s) - start)) -lt 15 ] || fail 'it waited for the children'
}

test_every_run_reads_the_same_standard_input() {
    seq 1 50000 >in
    # A pipe is read once; a file is rewound to where it stood.
    # shellcheck disable=SC2002 # a pipe is meant
    cat in | "$tarn" run "$(other)" --runs 2 -- "$victim" cat >out 2>err || fail "status $?"
    cmp -s in out || fail 'the input from a pipe was changed'
    expect_err 'Standard output is the same on all of them'
    { read -r _ && "$tarn" run "$(other)" --runs 2 --warmup 1 -- "$victim" cat; } <in >out 2>err || fail "status $?"
    tail -n +2 in | cmp -s - out || fail 'the input from a file is not the rest of it'
    expect_err 'Standard output is the same on all of them'
}

test_input_that_does_not_end_is_explained() {
    mkfifo pipe
    sleep 2 >pipe &
    "$tarn" run "$(other)" -- "$victim" cat <pipe >out 2>err || fail "status $?"
    expect_err 'reading standard input to its end first, to give it to every run (< /dev/null if the program needs none)'
    printf x | "$tarn" run "$(other)" -- "$victim" cat >out 2>err
    reject_err 'reading standard input'
}

test_the_exit_status_of_a_comparison_is_that_on_tarn() {
    run run "$(other)" -- "$victim" exit 3
    expect_status 3
    cat >picky <<'END'
#!/bin/sh
case $LD_PRELOAD in *other*) echo 'no room' >&2; exit 7 ;; esac
END
    chmod +x picky
    run run "$(other)" --json=j -- ./picky
    expect_status 0
    expect_json j '[a["exit_status"] for a in d["allocators"]]' '[0, 0, 7]'
    expect_err "'./picky' exited with 7 on other and with 0 on tarn"
    expect_err_line '  | no room'
}

test_an_allocator_on_which_the_program_dies_is_named() {
    run run "$(other)" --json=j -- "$victim" die-on libother
    expect_status 0
    expect_err_line "tarn run: error: '$victim' was ended by SIGSEGV (Segmentation fault) on other"
    expect_err_line '  | victim: last words'
    expect_err_pattern '^other .* SEGV$'
    ! grep -qE '^other .*\*' err || fail 'a program that died is marked as the best'
    expect_json j '[a["signal"] for a in d["allocators"]]' "[None, None, 'SIGSEGV']"
    run run "$(other)" -- "$victim" die-on libstandin
    expect_status 139
    expect_err "was ended by SIGSEGV (Segmentation fault) on tarn"
}

test_a_failure_in_a_later_run_is_not_lost() {
    cat >later <<END
#!/bin/sh
echo x >>'$scratch/count'
[ \$(wc -l <'$scratch/count') -ne 3 ] || exit 9
END
    chmod +x later
    run run --runs 4 --json=j -- ./later
    expect_status 9
    expect_json j '[r["exit_status"] for r in d["allocators"][0]["runs"]]' '[0, 0, 9, 0]'
}

test_a_program_linked_with_an_allocator_is_noted() {
    run_with "LD_LIBRARY_PATH=$fixtures/found" run "$(other)" -- "$fixtures/victim-linked" identity
    expect_status 0
    expect_err "is linked with libjemalloc.so.2: that is what 'system' stands for in the table"
    expect_out "$fixtures/libstandin.so"
}

test_allocators_that_are_compared_are_taken_out_of_the_environment() {
    needs_plain_tarn
    run_with "LD_PRELOAD=$fixtures/libother.so:$fixtures/libempty.so" run "$(other)" --runs 2 -- sh -c 'echo "$LD_PRELOAD" >>seen'
    sort -u seen >out
    expect_out "$(printf '%s\n' "$fixtures/libempty.so" "$fixtures/libempty.so:$fixtures/libother.so" "$fixtures/libempty.so:$fixtures/libstandin.so")"
}

test_a_comparison_fits_80_columns() {
    run run "--compare=all,a-rather-long-name=$fixtures/libother.so" --runs 2 -- "$victim" touch 20
    expect_status 0
    awk 'length > 96' err >wide
    [ ! -s wide ] || fail "too wide: $(cat wide)"
    run run --compare=all --runs 2 -- "$victim" touch 20
    awk '/^allocator|^---/ && length > 80' err >wide
    [ ! -s wide ] || fail "too wide: $(cat wide)"
}

# ---------------------------------------------------------------------------------------------------------------
# JSON.

test_json_to_standard_output_has_it_for_itself() {
    run run --json --quiet -- sh -c 'echo mine'
    expect_status 0
    expect_json out 'd["format"], d["version"]' "('tarn-run', 1)"
    [ "$(cat err)" = mine ] || fail "the program's output is not on standard error"
    run run "$(other)" --json=- --quiet -- sh -c 'echo mine'
    expect_status 0
    expect_json out 'len(d["allocators"])' 3
    [ "$(cat err)" = mine ] || fail "the program's output is not on standard error, once"
}

test_json_holds_any_bytes_of_the_command_line() {
    bad=$(printf 'q"b\\t\tn\377\355\240\200')
    run run --json=j -- "$victim" arguments "$bad" 'é漢😀'
    expect_status 0
    python3 -m json.tool j >/dev/null || fail "python finds it invalid: $(cat j)"
    expect_json j 'd["program"][2] == "q\"b\\t\tn" + "\ufffd" * 4' True
    expect_json j 'd["program"][3]' 'é漢😀'
}

test_json_that_cannot_be_written_is_an_error_before_the_run() {
    run run --json=/no/such/directory/j -- touch ran
    expect_status 125
    expect_err "--json: cannot write '/no/such/directory/j': No such file or directory"
    [ ! -e ran ] || fail 'the program was run'
    run run --json=/dev/full -- true
    expect_status 125
    expect_err '--json: cannot write the figures: No space left on device'
}

test_json_says_when_tarn_was_not_reached() {
    run run --json=j -- "$fixtures/victim-static" exit 0
    expect_json j '"linked statically" in d["not_reached_because"]' True
    run run --json=j -- "$victim" exit 0
    expect_json j 'd["not_reached_because"]' None
}

# ---------------------------------------------------------------------------------------------------------------
# Signals and terminals.

# signal_victim SIGNAL OPTION... - sends SIGNAL to tarn once the program is ready; leaves $status, out and err.
signal_victim() {
    signal=$1
    shift
    : >out
    "$tarn" run "$@" "$victim" trap 5 >out 2>err </dev/null &
    pid=$!
    tries=0
    while ! grep -q ready out; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || fail 'the program did not start'
        sleep 0.05
    done
    kill -s "$signal" $pid
    status=0
    wait $pid || status=$?
}

test_signals_that_are_sent_to_tarn_reach_the_program_once() {
    for pair in TERM:15 HUP:1 USR1:10 TSTP:20; do
        signal_victim "${pair%:*}" --
        expect_status 5
        expect_out "$(printf 'ready\nsignal %s, 1 in all' "${pair#*:}")"
        expect_err_pattern '^tarn .* 5$'
    done
}

test_a_request_to_end_ends_the_comparison() {
    signal_victim TERM "$(other)" --runs 3 --json=j --
    expect_status 5
    expect_json j '[len(a["runs"]) for a in d["allocators"]]' '[1, 0, 0]'
    expect_json j 'd["interrupted_by"]' SIGTERM
    expect_err 'ended early by SIGTERM (Terminated)'
}

test_the_program_does_not_outlive_a_tarn_that_is_killed() {
    "$tarn" run -- sh -c 'echo $$; exec sleep 30' >out 2>err </dev/null &
    pid=$!
    tries=0
    while [ ! -s out ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || fail 'the program did not start'
        sleep 0.05
    done
    kill -s KILL $pid
    wait $pid
    tries=0
    while kill -0 "$(cat out)" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$(cat out)/status" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || fail 'the program lives on'
        sleep 0.05
    done
}

test_a_program_that_stops_itself_goes_on_with_tarn() {
    "$tarn" run -- "$victim" stop >out 2>err </dev/null &
    pid=$!
    tries=0
    while ! grep -q '^State:.T' "/proc/$pid/status"; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || fail 'tarn did not stop with the program'
        sleep 0.05
    done
    kill -s CONT $pid
    wait $pid || fail "status $?"
    expect_out 'went on'
}


"test_$test_name"
