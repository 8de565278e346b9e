#!/bin/sh
# SPDX-License-Identifier: MIT
#
# plan.sh TARN FIXTURES TEST - runs one test of `tarn plan`. The functions named test_* are the tests; each is a
# sentence about behaviour.

# shellcheck source=tests/cli/steps.sh
. "$(dirname "$0")/steps.sh"

# Two of three live at a time: 8 bytes at least, and 8 are enough.
three() { printf 'id,lower,upper,size\na,0,4,4\nb,2,6,4\nc,4,8,4\n'; }

# bad LINE TEXT WORDS... - the file `in` with that text is refused at that line in these words.
bad() {
    line=$1
    printf "%b" "$2" >in
    shift 2
    run plan in -o out.csv
    expect_status 2
    for word in "$@"; do
        expect_err "in:$line: "
        expect_err "$word"
    done
    [ "$(wc -l <err)" -eq 1 ] || fail 'more than one line'
    [ ! -e out.csv ] || fail 'a file was written'
}

# holds [OPTION]... FILE - the plan in it holds.
holds() {
    run plan --check "$@"
    expect_status 0
}

# ---------------------------------------------------------------------------------------------------------------
# The command line.

test_help_of_plan_names_every_option() {
    for words in 'plan --help' 'plan -h' 'help plan'; do
        # shellcheck disable=SC2086 # words are meant
        run $words
        expect_status 0
        expect_no_err
        for option in --minimize --capacity --deadline --steps --threads --seed --check --output --emit --name --svg \
            --quiet --help; do
            grep -q -e "$option" out || fail "no $option in: tarn $words"
        done
        [ "$(wc -L <out)" -le 85 ] || fail "the help is too wide"
    done
}

test_a_bad_command_line_of_plan_is_refused_with_2() {
    three >in
    run plan
    expect_status 2
    expect_err_line 'tarn plan: error: no file given; - is standard input'
    run plan in in2
    expect_status 2
    expect_err_line "tarn plan: error: one file at a time; the second is 'in2'"
    run plan --capcity 3 in
    expect_status 2
    expect_err_line "tarn plan: error: unknown option '--capcity'; did you mean '--capacity'?"
    run plan in -x
    expect_status 2
    expect_err_line "tarn plan: error: unknown option '-x'"
    run plan in --minimize=3
    expect_status 2
    expect_err_line 'tarn plan: error: --minimize takes no value'
    run plan in -o
    expect_status 2
    expect_err_line 'tarn plan: error: -o takes a value'
    run plan in --svg
    expect_status 2
    expect_err_line 'tarn plan: error: --svg takes a value'
    for value in 0 -1 x 1.5 '' 9223372036854775808 9007199254740992K 4kb; do
        run plan --capacity "$value" in
        expect_status 2
        expect_err "--capacity takes a number of bytes from 1 on, such as 1048576 or 512KiB, not '$value'"
    done
    for value in 0 -1 x '' 0x10 1d inf nan 10000h; do
        run plan --deadline "$value" in
        expect_status 2
        expect_err "--deadline takes a time above 0, such as 500ms, 10s or 5min, not '$value'"
    done
    for value in 0 65 x -1 ''; do
        run plan --threads "$value" in
        expect_status 2
        expect_err "--threads takes a number from 1 to 64, not '$value'"
    done
    run plan --emit=xml in
    expect_status 2
    expect_err "--emit takes csv, json or c, not 'xml'"
    for value in '' 1a a-b 'a b'; do
        run plan --emit=c --name "$value" in
        expect_status 2
        expect_err "--name takes a name in C, not '$value'"
    done
    run plan --svg - in
    expect_status 2
    expect_err 'the plan and the drawing cannot both go to standard output'
}

test_a_file_that_cannot_be_read_is_an_error() {
    run plan nosuch.csv
    expect_status 2
    expect_err_line 'tarn plan: error: cannot read nosuch.csv: No such file or directory'
    run plan .
    expect_status 2
    expect_err_line 'tarn plan: error: cannot read .: Is a directory'
}

# ---------------------------------------------------------------------------------------------------------------
# Plans.

test_the_least_plan_is_found_and_proven() {
    three >in.csv
    for option in '' --minimize '--minimize --capacity 100' '--threads 2' '--seed 7' '--deadline none'; do
        # shellcheck disable=SC2086 # words are meant
        run plan $option in.csv -o out.csv
        expect_status 0
        expect_out ''
        expect_err_pattern \
            '^tarn plan: in.csv: height 8, lower bound 8, gap 0.00 %, proven to be the least, [0-9.]+ s$'
        holds --capacity 8 out.csv
    done
}

test_the_plan_is_the_input_with_offsets_in_its_order() {
    printf '\357\273\277size , end,"id",begin\r\n\r\n4,3,"x, ""1""",0\r\n  \n 4 ,+5,%s,2\r\n' '"y"' >in.csv
    run plan in.csv
    expect_status 0
    sed 's/,[04]$//' out >body
    printf 'size,end,id,begin,offset\n4,3,"x, ""1""",0\n4,5,y,2\n' >expected
    cmp -s body expected || fail 'the columns or the order were changed'
    [ "$(sed 's/.*,//' out | sort | paste -sd,)" = '0,4,offset' ] || fail 'the offsets are wrong'
    cp out again.csv
    holds again.csv
}

test_standard_input_and_output_are_named_by_a_dash() {
    status=0
    three | "$tarn" plan -q - -o - >out 2>err || status=$?
    expect_status 0
    expect_no_err
    [ "$(head -n 1 out)" = id,lower,upper,size,offset ] || fail 'no header'
    [ "$(wc -l <out)" -eq 4 ] || fail 'not all lines'
}

test_an_end_is_inclusive_and_an_upper_is_not() {
    printf 'id,lower,upper,size\na,0,4,4\nb,4,8,4\n' >upper.csv
    printf 'id,start,end,size\na,0,4,4\nb,4,8,4\n' >end.csv
    printf 'buffer_id,lower,end,size,gaps\na,0,9,4,2-7\nb,8,9,3,\nc,2,7,4,\n' >gaps.csv
    run plan upper.csv
    expect_err 'height 4,'
    run plan end.csv
    expect_err 'height 8,'
    run plan gaps.csv -o gaps.out.csv
    expect_err 'height 7,'
    # What was inclusive is written as such.
    grep -qx 'a,0,9,4,2-7,[0-9]*' gaps.out.csv || fail "$(cat gaps.out.csv)"
}

test_alignments_fixed_offsets_gaps_and_hints_are_kept() {
    {
        echo 'id,lower,upper,size,alignment,hint,offset,gaps'
        echo 'a,0,10,3,,,,'
        echo 'b,0,10,8,8,,,3-5@0:2 6-8'
        echo 'c,-5,2,4,4,12,16,'
        echo 'd,6,8,8,,,,'
    } >in.csv
    run plan in.csv -o out.csv
    expect_status 0
    holds out.csv
    grep -qx 'c,-5,2,4,4,12,16,' out.csv || fail "c was moved or changed: $(cat out.csv)"
    grep -Eqx 'b,0,10,8,8,,(0|8|24),3-5@0:2 6-8' out.csv || fail "b was changed: $(cat out.csv)"
    grep -Eqx 'd,6,8,8,1,,[0-9]+,' out.csv || fail "d was changed: $(cat out.csv)"
}

test_no_buffers_need_no_memory() {
    printf 'id,lower,upper,size\n' >in.csv
    run plan in.csv
    expect_status 0
    expect_out id,lower,upper,size,offset
    expect_err 'height 0, lower bound 0, gap 0.00 %, proven to be the least'
    echo '[]' >in.json
    run plan in.json --svg out.svg
    expect_status 0
    expect_json out 'd["buffers"]' '[]'
    python3 -c 'import xml.dom.minidom; xml.dom.minidom.parse("out.svg")' || fail 'no XML'
}

test_a_plan_fits_a_capacity_or_it_is_proven_that_none_does() {
    three >in.csv
    run plan --capacity 8 in.csv -o out.csv
    expect_status 0
    holds --capacity 8 out.csv
    for capacity in 7 1; do
        run plan --capacity $capacity in.csv -o none.csv
        expect_status 1
        expect_err_line "tarn plan: error: in.csv: no plan fits $capacity bytes: this is proven; every plan needs at \
least 8"
        [ ! -e none.csv ] || fail 'a file was written'
    done
    run plan --capacity 1KiB in.csv
    expect_status 0
}

test_fixed_offsets_in_each_others_way_are_named() {
    printf 'id,lower,upper,size,offset\na,0,4,4,0\nb,2,6,4,2\nc,0,9,4,\n' >in.csv
    run plan in.csv -o out.csv
    expect_status 1
    expect_err_line "tarn plan: error: in.csv:3: 'b' overlaps 'a' of line 2, in the bytes from 2 to 4 at time 2"
    expect_err_line 'tarn plan: error: in.csv: there is no plan with these fixed offsets: this is proven'
    [ ! -e out.csv ] || fail 'a file was written'
}

# many N - buffers whose bound, which knows nothing of odd alignments, no plan reaches.
many() {
    python3 - "$1" <<'END'
import random, sys
random.seed(5)
print("id,lower,upper,size,alignment")
for i in range(int(sys.argv[1])):
    lower = random.randrange(1000)
    print(f"{i},{lower},{lower + random.randrange(1, 300)},{random.randrange(1, 5000)},{random.choice((97, 1024, 1500))}")
END
}

test_time_is_kept_and_the_gap_is_told() {
    many 300 >in.csv
    run plan --minimize --deadline 300ms in.csv -o out.csv
    expect_status 0
    expect_err_pattern 'height [0-9]+, lower bound [0-9]+, gap [0-9.]+ %, .*proven to be the least, [0-9.]+ s$'
    holds out.csv
}

test_without_a_plan_when_time_is_up_the_status_is_3() {
    # The bound says nothing against that capacity, and the search is not given the steps to find out.
    many 300 >in.csv
    run plan --minimize --steps 1000 in.csv -o out.csv
    bound=$(sed -n 's/.*lower bound \([0-9]*\),.*/\1/p' err)
    run plan --capacity "$bound" --steps 1000 in.csv -o none.csv
    expect_status 3
    expect_err 'the steps were used up before there was a plan, or a proof that there is none'
    [ ! -e none.csv ] || fail 'a file was written'
    run plan --capacity "$bound" --deadline 50ms in.csv -o none.csv
    expect_status 3
    expect_err 'time was up before there was a plan'
}

test_the_same_seed_and_steps_give_the_same_plan() {
    many 100 >in.csv
    run plan --steps 100000 --deadline none --seed 3 in.csv -o one.csv
    run plan --steps 100000 --deadline none --seed 3 in.csv -o two.csv
    cmp -s one.csv two.csv || fail 'the plans differ'
}

test_an_interrupt_ends_with_the_best_plan_so_far() {
    many 300 >in.csv
    "$tarn" plan --deadline none in.csv -o out.csv 2>err &
    pid=$!
    sleep 1
    kill -s TERM $pid
    status=0
    wait $pid || status=$?
    # Under a sanitizer and on a busy machine a second may be too short for the handler to stand.
    [ $status -ne 143 ] || skip 'it had not begun'
    expect_status 0
    expect_err 'tarn plan: interrupted: this is the best plan so far'
    holds out.csv
}

# ---------------------------------------------------------------------------------------------------------------
# Bad files.

test_a_bad_csv_is_refused_with_its_line_and_what_to_do() {
    header='id,lower,upper,size\n'
    bad 1 '' 'the file is empty; it must have a header line'
    bad 1 '\n\n' 'the file is empty'
    bad 1 'id,lower,upper\n' "the header has no column 'size'"
    bad 1 'id;lower;upper;size\n' "unknown column 'id;lower;upper;size'"
    bad 1 'id,lower,uper,size\n' "unknown column 'uper'; did you mean 'upper'?"
    bad 1 'id,lower,upper,size,colour\n' "unknown column 'colour'; there are id, lower"
    bad 1 'id,lower,start,upper,size\n' "the column 'start' is a second lower; leave one of them out"
    bad 1 'id,id,id,id,id,id,id,id,id,id,id\n' "the column 'id' is a second id"
    bad 3 "${header}a,1,2,3\nb,1,2\n" 'this line has 3 fields, and the header has 4'
    bad 2 "${header}a,1,2,3,4\n" 'this line has 5 fields, and the header has 4'
    bad 2 "${header},1,2,3\n" 'the id is empty; give every buffer a name'
    bad 4 "${header}a,1,2,3\n\na,1,2,3\n" "the id 'a' is that of line 2 already"
    bad 2 "${header}a,5,2,3\n" 'the lifetime ends at 2, before it begins at 5'
    bad 2 "${header}a,1,2,-3\n" 'the size -3 is negative'
    bad 2 "${header}a,1,2,9223372036854775808\n" 'size is 9223372036854775808, which does not fit 64 bits'
    bad 2 "${header}a,1,2,99999999999999999999999\n" 'does not fit 64 bits'
    bad 2 "${header}a,x,2,3\n" "lower is 'x', which is no whole number"
    bad 2 "${header}a,1,2,3.5\n" "size is '3.5', which is no whole number"
    bad 2 "${header}a,1,,3\n" 'upper is empty; give a whole number'
    bad 3 "${header}a,1,2,3\nb,1,2,\"3\n\n" 'a quote is opened here and never closed'
    bad 2 "${header}\"a\"b,1,2,3\n" 'there is text behind a closing quote'
    bad 2 "${header}a\0000,1,2,3\n" 'there is a zero byte'
    bad 2 'id,start,end,size\na,0,9223372036854775807,1\n' 'end is the largest number there is'
    bad 2 'id,lower,upper,size,alignment\na,0,1,1,-4\n' 'the alignment -4 is negative'
    bad 2 'id,lower,upper,size,offset\na,0,1,1,-4\n' 'the fixed offset -4 is negative'
    bad 2 'id,lower,upper,size,offset,alignment\na,0,1,1,6,4\n' \
        'the fixed offset 6 is no multiple of the alignment 4'
    gaps='id,lower,upper,size,gaps\na,0,9,8,'
    bad 2 "${gaps}3\n" "a gap is no 'lower-upper'"
    bad 2 "${gaps}1-2@3\n" "a gap is no 'lower-upper'"
    bad 2 "${gaps}1-2;\n" "a gap is no 'lower-upper'"
    bad 2 "${gaps}3-3\n" 'the gap from 3 to 3 has no time in it'
    bad 2 "${gaps}8-10\n" 'the gap from 8 to 10 is not within the lifetime from 0 to 9'
    bad 2 "${gaps}3-5 4-6\n" 'the gap from 4 begins before the one from 3 ends at 5'
    bad 2 "${gaps}3-5@2:9\n" 'the window of a gap from 2 to 9 is not within the size 8'
    # Control characters do nothing to the terminal.
    bad 3 "${header}a\033[2J,1,2,3\na\033[2J,1,2,3\n" "the id 'a?[2J' is that of line 2 already"
}

test_sizes_that_add_up_past_64_bits_are_refused() {
    printf 'id,lower,upper,size\na,0,9,9223372036854775807\nb,0,9,9223372036854775807\n' >in
    run plan in
    expect_status 2
    expect_err 'in: all sizes together do not fit 64 bits'
}

test_a_bad_json_is_refused_with_its_line_and_what_to_do() {
    bad 1 '{}' 'the object has no "buffers"'
    bad 1 '{"buffers": [' "a '{' of a buffer is missing where the file ends"
    bad 2 '[\n{"id": "a", "lower": 1, "upper": 2}]' 'size is missing'
    bad 3 '[\n{"id": "a",\n"lowr": 1}]' "unknown column 'lowr'; did you mean 'lower'?"
    bad 3 '[\n{"id": "a", "lower": 1,\n"start": 1}]' 'the buffer has a second lower'
    bad 2 '[\n{"id": "a", "lower": "1"}]' 'lower is no number'
    bad 2 '[\n{"id": "a", "lower": 1.5}]' "lower is '1.5', which is no whole number"
    bad 2 '[\n{"id": "a", "lower": 01}]' "lower is '01', which is no number in JSON"
    bad 1 '[{"id": "a\\x"}]' 'what follows a backslash in a text stands for no character'
    bad 1 '[{"id": "\\ud800"}]' 'what follows a backslash in a text stands for no character'
    bad 1 '[{"id": "a\n"}]' 'a quote is opened and not closed on its line'
    bad 1 '[{"id": true}]' "a text or a number as id is missing before 'true"
    bad 1 '[] 1' "the end of the file is missing before '1'"
    bad 2 '[{"id":1,"lower":0,"upper":9,"size":4},\n{"id":"1","lower":0,"upper":9,"size":4}]' \
        "the id '1' is that of line 1 already"
    bad 1 '[{"id":1,"lower":0,"upper":9,"size":4,"gaps":[{"lower":1}]}]' 'a gap needs lower and upper'
    bad 1 '[{"id":1,"lower":0,"upper":9,"size":4,"gaps":[{"size":1}]}]' "a gap has lower, upper and window, and no 'size'"
    python3 -c 'print("{\"x\":" + "[" * 100000)' >in
    run plan in
    expect_status 2
    expect_err 'in:1: more than 64 brackets are open here'
}

# ---------------------------------------------------------------------------------------------------------------
# Checking.

test_a_plan_that_holds_is_said_to() {
    printf 'id,lower,upper,size,offset\na,0,4,4,0\nb,2,6,4,4\nc,4,8,4,0\n' >in.csv
    run plan --check in.csv
    expect_status 0
    expect_out ''
    expect_err_line 'tarn plan: in.csv: the plan holds: 3 buffers in 8 bytes'
    run plan --check -q --capacity 8 in.csv
    expect_status 0
    expect_no_err
}

test_each_fault_of_a_plan_is_named_with_its_lines() {
    {
        echo 'id,lower,upper,size,alignment,offset'
        echo 'a,0,4,4,,0'
        echo 'b,2,6,4,,3'
        echo 'c,4,8,4,,0'
        echo 'd,20,30,4,4,6'
        echo 'e,20,30,4,,'
        echo 'f,20,30,4,,-4'
        echo 'g,20,30,4,,9223372036854775806'
        echo 'h,30,40,4,,13'
    } >in.csv
    run plan --check --capacity 16 in.csv
    expect_status 1
    expect_err_line "tarn plan: error: in.csv:3: 'b' overlaps 'a' of line 2, in the bytes from 3 to 4 at time 2"
    expect_err_line "tarn plan: error: in.csv:4: 'c' overlaps 'b' of line 3, in the bytes from 3 to 4 at time 4"
    expect_err_line "tarn plan: error: in.csv:5: 'd' has the offset 6, which is no multiple of its alignment 4"
    expect_err_line "tarn plan: error: in.csv:6: 'e' has no offset"
    expect_err_line "tarn plan: error: in.csv:7: 'f' has the negative offset -4"
    expect_err_line "tarn plan: error: in.csv:8: 'g' ends past the largest number of 64 bits"
    expect_err_line "tarn plan: error: in.csv:9: 'h' ends at 17, past the capacity of 16"
    [ "$(wc -l <err)" -eq 7 ] || fail 'more than these'
}

test_gaps_may_be_used_by_others_and_windows_may_not() {
    printf 'id,lower,upper,size,offset,gaps\na,0,10,8,0,2-4@0:4 6-8\nb,2,4,4,4,\nc,6,8,8,0,\n' >in.csv
    run plan --check in.csv
    expect_status 0
    sed 's/^b.*/b,2,4,4,3,/' in.csv >bad.csv
    run plan --check bad.csv
    expect_status 1
    expect_err_line "tarn plan: error: bad.csv:3: 'b' overlaps 'a' of line 2, in the bytes from 3 to 4 at time 2"
    sed 's/^c.*/c,6,9,1,7,/' in.csv >bad.csv
    run plan --check bad.csv
    expect_status 1
    expect_err_line "tarn plan: error: bad.csv:2: 'a' overlaps 'c' of line 4, in the bytes from 7 to 8 at time 8"
}

test_a_file_without_offsets_is_no_plan() {
    three >in.csv
    run plan --check in.csv
    expect_status 1
    expect_err_line "tarn plan: error: in.csv:2: 'a' has no offset"
}

test_faults_past_twenty_are_only_said_to_be_there() {
    python3 -c 'print("id,lower,upper,size,offset")
for i in range(1000): print(f"{i},0,9,4,0")' >in.csv
    run plan --check in.csv
    expect_status 1
    [ "$(wc -l <err)" -eq 21 ] || fail 'not twenty faults'
    expect_err_line 'tarn plan: error: in.csv: and more of that'
}

# ---------------------------------------------------------------------------------------------------------------
# Formats.

test_json_and_csv_say_the_same() {
    cat >in.json <<'END'
{"note": ["skipped", {"x": [1e3, null, true]}],
 "buffers": [
  {"id": "é\ud83d\ude00\"", "lower": 0, "upper": 10, "size": 8, "alignment": 8, "hint": null,
   "gaps": [{"lower": 2, "upper": 4, "window": [0, 4]}, {"lower": 6, "end": 7}]},
  {"begin": 2, "end": 3, "size": 4, "id": 17, "offset": 4, "gaps": null},
  {"id": "g", "start": 0, "end": 9, "size": 2, "gaps": "3-4"}]}
END
    run plan in.json -o out.json
    expect_status 0
    expect_json out.json 'd["format"], d["version"], d["is_proven"], d["height"] == d["lower_bound"]' \
        "('tarn-plan', 1, True, True)"
    expect_json out.json '[b["id"] for b in d["buffers"]] == ["é😀\"", "17", "g"]' True
    expect_json out.json 'd["buffers"][0]["gaps"]' \
        "[{'lower': 2, 'upper': 4, 'window': [0, 4]}, {'lower': 6, 'upper': 8}]"
    expect_json out.json 'd["buffers"][1]' "{'id': '17', 'lower': 2, 'upper': 4, 'size': 4, 'offset': 4}"
    expect_json out.json 'd["buffers"][2]["gaps"]' "[{'lower': 3, 'upper': 5}]"
    holds out.json
    run plan out.json -o out.csv
    expect_status 0
    [ "$(head -n 1 out.csv)" = id,lower,upper,size,alignment,gaps,offset ] || fail "$(cat out.csv)"
    run plan --emit=json out.csv -o again
    expect_status 0
    expect_json again 'd["buffers"] == json.load(open("out.json"))["buffers"]' True
}

test_the_header_in_c_compiles_and_has_unique_names() {
    command -v cc >/dev/null || skip 'there is no C compiler'
    {
        echo 'id,lower,upper,size,alignment'
        printf '%s,0,4,4,64\n' a A a_2 'a b' 'a--b' '*/' 'é' 1 int 'x__y'
        printf '"/* ""q"" ,\n",0,4,4,3\n'
        printf '%s,0,4,5000000000,\n' big
    } >in.csv
    run plan in.csv -o 9-tensors.v1.h
    expect_status 0
    names=$(sed -n 's/^#define \(PLAN_9_TENSORS_[A-Z0-9_]*_OFFSET\) .*/\1/p' 9-tensors.v1.h)
    [ "$(echo "$names" | wc -l)" -eq 12 ] || fail "not one name for each: $names"
    [ "$(echo "$names" | sort -u | wc -l)" -eq 12 ] || fail "names are not unique: $names"
    ! grep -q '__[A-Z]' 9-tensors.v1.h || fail 'a name that is reserved in C++'
    cat >use.c <<'END'
#include "9-tensors.v1.h"
int main(void)
{
    return PLAN_9_TENSORS_A_OFFSET + PLAN_9_TENSORS_SIZE > 0 && PLAN_9_TENSORS_BIG_SIZE == 5000000000 ? 0 : 1;
}
END
    cc -std=c11 -DPLAN_9_TENSORS_NO_MEMORY -Wall -Werror -o use use.c 2>err || fail 'it does not compile'
    ./use || fail 'the constants are wrong'
    printf 'id,lower,upper,size,alignment\nin put,0,4,100,64\nout,2,6,28,\n' >in.csv
    run plan --emit=c --name net in.csv -o net
    expect_status 0
    cat >use.c <<'END'
#include "net"
#ifndef __cplusplus
_Static_assert(_Alignof(net_memory) == NET_ALIGNMENT, "");
#endif
int main(void)
{
    net_memory[NET_OUT_OFFSET] = 1;
    return sizeof net_memory == 128 && NET_SIZE == 128 && NET_ALIGNMENT == 64 && NET_IN_PUT_OFFSET % 64 == 0 &&
                   NET_IN_PUT_SIZE == 100 && (unsigned long)net_memory % 64 == 0
               ? 0
               : 1;
}
END
    cc -std=gnu11 -Wall -Werror -o use use.c 2>err || fail 'it does not compile'
    ./use || fail 'the constants are wrong'
    cc -x c++ -std=c++11 -Wall -Werror -o use use.c 2>err || fail 'it does not compile as C++'
    ./use || fail 'the constants are wrong in C++'
}

test_the_drawing_has_a_rectangle_for_each_stretch_inside_its_frame() {
    {
        echo 'id,lower,upper,size,gaps'
        echo 'a<&>"name",0,100,1000,'
        echo 'b,0,100,800,20-40 60-80@0:100'
        echo 'a-name-too-long-for-so-short-a-life,0,1,500,'
        printf 'bad\377\001,50,100,500,\n'
        echo 'never,5,5,10,'
    } >in.csv
    run plan --capacity 4000 in.csv -o out.csv --svg out.svg
    expect_status 0
    cat >look.py <<'END'
import xml.etree.ElementTree as tree
SVG = "{http://www.w3.org/2000/svg}"
root = tree.parse("out.svg").getroot()
width, height = float(root.get("width")), float(root.get("height"))
groups = [g for g in root.iter(SVG + "g") if g.find(SVG + "title") is not None]
titles = [g.find(SVG + "title").text for g in groups]
boxes = [[float(r.get(k)) for k in ("x", "y", "width", "height")] for g in groups for r in g.findall(SVG + "rect")]
labels = [t.text for g in groups for t in g.findall(SVG + "text")]
assert len(groups) == 4, groups
assert titles[0].startswith('a<&>"name"\ntime 0 to 100\nbytes '), titles[0]
assert titles[3].startswith("bad\ufffd\ufffd\n"), titles[3]
assert labels == ['a<&>"name"', "b", "bad\ufffd\ufffd"], labels
assert len(boxes) == 1 + 4 + 1 + 1, boxes
for x, y, w, h in boxes:
    assert x >= 0 and y >= 0 and w > 0 and h > 0 and x + w <= width and y + h <= height, (x, y, w, h)
for i, a in enumerate(boxes):
    for b in boxes[:i]:
        apart = a[0] >= b[0] + b[2] - 0.02 or b[0] >= a[0] + a[2] - 0.02 or \
            a[1] >= b[1] + b[3] - 0.02 or b[1] >= a[1] + a[3] - 0.02
        assert apart, (a, b)
assert "capacity 4000" in [t.text for t in root.iter(SVG + "text")]
END
    python3 look.py 2>err || fail 'the drawing is wrong'
    # A plan that is there is drawn without planning.
    run plan --check out.csv --svg again.svg
    expect_status 0
    [ "$(grep -c '<title>' again.svg)" -eq 4 ] || fail 'not drawn'
}

# ---------------------------------------------------------------------------------------------------------------
# Files.

test_a_file_is_replaced_when_the_new_one_is_whole_and_not_before() {
    three >in.csv
    echo old >out.csv
    chmod 640 out.csv
    ln -s out.csv link.csv
    run plan --capacity 1 in.csv -o link.csv
    expect_status 1
    [ "$(cat out.csv)" = old ] || fail 'the old file is gone'
    run plan in.csv -o link.csv
    expect_status 0
    [ -L link.csv ] || fail 'the link is gone'
    [ "$(stat -c %a out.csv)" = 640 ] || fail 'the mode is another'
    [ "$(wc -l <out.csv)" -eq 4 ] || fail 'not replaced'
    # In place of its own input.
    run plan in.csv -o in.csv
    expect_status 0
    holds in.csv
    [ -z "$(find . -name '*.??????')" ] || fail "something was left: $(ls)"
}

test_a_file_that_cannot_be_written_is_an_error_before_the_work() {
    three >in.csv
    run plan in.csv -o nosuch/out.csv
    expect_status 125
    expect_err_line 'tarn plan: error: cannot write nosuch/out.csv: No such file or directory'
    run plan in.csv -o out.csv --svg nosuch/out.svg
    expect_status 125
    [ ! -e out.csv ] || fail 'a file was written'
    [ -z "$(find . -name '*.??????')" ] || fail "something was left: $(ls)"
    run plan in.csv -o /dev/full
    expect_status 125
    expect_err 'cannot write /dev/full: No space left on device'
    status=0
    "$tarn" plan in.csv >/dev/full 2>err || status=$?
    expect_status 125
    expect_err 'cannot write standard output: No space left on device'
}

"test_$test_name"
