# SPDX-License-Identifier: MIT
# bash completion for tarn(1)

# The allocators of --compare=LIST: the last one is completed, those before it stay.
_tarn_compare() {
    local list=$1 before='' word
    case $list in
    *,*) before=${list%,*}, list=${list##*,} ;;
    esac
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$before$word")
    done < <(compgen -W 'all system jemalloc mimalloc tcmalloc' -- "$list"; compgen -f -- "$list")
    compopt -o nospace
}

_tarn_plan() {
    case $prev in
    --capacity | --deadline | --steps | --threads | --seed | --name) return ;;
    --svg | --output | -o)
        _filedir
        return
        ;;
    --emit)
        mapfile -t COMPREPLY < <(compgen -W 'csv json c' -- "$cur")
        return
        ;;
    esac
    case $cur in
    --emit=*)
        mapfile -t COMPREPLY < <(compgen -W 'csv json c' -- "${cur#--emit=}")
        # readline takes what follows the "=" for a word of its own.
        [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/--emit=}")
        ;;
    -*)
        mapfile -t COMPREPLY < <(compgen -W '--minimize --capacity --deadline --steps --threads --seed --check --output --emit= --name --svg --quiet --help' -- "$cur")
        [[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace
        ;;
    *) _filedir ;;
    esac
}

_tarn_replay_on() {
    local list=$1 before='' word
    case $list in
    *,*) before=${list%,*}, list=${list##*,} ;;
    esac
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("$before$word")
    done < <(compgen -W 'all single fixed-partitions first-fit next-fit best-fit worst-fit segregated-fit buddy two-level arena pools movable tarn tarn-malloc system jemalloc mimalloc tcmalloc' -- "$list"; compgen -f -- "$list")
    compopt -o nospace
}

# The value of --NAME=... or of --NAME and a word of its own.
_tarn_replay_value() {
    case $1 in
    --on) _tarn_replay_on "$2" ;;
    --order) mapfile -t COMPREPLY < <(compgen -W 'exact parallel single' -- "$2") ;;
    --rank) mapfile -t COMPREPLY < <(compgen -W 'footprint resident time p99' -- "$2") ;;
    --what-if) mapfile -t COMPREPLY < <(compgen -W 'movable' -- "$2") ;;
    --json)
        cur=$2
        _filedir
        ;;
    --plan-deadline | --timeout) ;;
    *) return 1 ;;
    esac
}

_tarn_replay() {
    _tarn_replay_value "$prev" "$cur" && return
    case $cur in
    --*=*)
        _tarn_replay_value "${cur%%=*}" "${cur#*=}"
        # readline takes what follows the "=" for a word of its own.
        [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/${cur%%=*}=}")
        ;;
    -*)
        mapfile -t COMPREPLY < <(compgen -W '--on= --order= --rank= --json= --pools --what-if= --plan-deadline= --timeout= --quiet --help' -- "$cur")
        [[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace
        ;;
    *) _filedir ;;
    esac
}

_tarn_trace() {
    case $cur in
    -*) mapfile -t COMPREPLY < <(compgen -W '--print --help' -- "$cur") ;;
    *) _filedir ;;
    esac
}

_tarn_report() {
    local formats='pprof folded speedscope heaptrack csv' costs='bytes count peak leaked temporary' values=
    local policies='best-fit first-fit next-fit worst-fit segregated-fit buddy'
    # --OPTION VALUE, or --OPTION=VALUE.
    local option=$prev value=$cur before=
    case $cur in
    --*=*) option=${cur%%=*} value=${cur#*=} before=${cur%%=*}= ;;
    esac
    # readline takes what follows the "=" for a word of its own.
    [[ $COMP_WORDBREAKS == *=* ]] && before=
    case $option in
    --export) values=$formats ;;
    --cost) values=$costs ;;
    --map) values=$policies ;;
    --bins | --allocator) return ;;
    --sysroot | --debug-dir)
        _filedir -d
        return
        ;;
    esac
    if [[ -n $values ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$value")
        COMPREPLY=("${COMPREPLY[@]/#/$before}")
        return
    fi
    case $cur in
    -*)
        mapfile -t COMPREPLY < <(compgen -W '--output --replay --text --export= --cost= --map= --bins --sysroot --debug-dir --no-symbols --allocator --help' -- "$cur")
        [[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace
        ;;
    *) _filedir ;;
    esac
}

_tarn() {
    local cur prev words cword
    _init_completion -n = || return

    if [[ $cword -eq 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'run record trace replay report plan help --help --version' -- "$cur")
        return
    fi
    case ${words[1]} in
    help)
        mapfile -t COMPREPLY < <(compgen -W 'run record trace replay report plan' -- "$cur")
        return
        ;;
    plan)
        _tarn_plan
        return
        ;;
    trace)
        _tarn_trace
        return
        ;;
    replay)
        _tarn_replay
        return
        ;;
    report)
        _tarn_report
        return
        ;;
    run | record) ;;
    *) return ;;
    esac

    # Behind the options stands the program, and that has completions of its own.
    local i
    for ((i = 2; i < cword; i++)); do
        case ${words[i]} in
        --)
            _command_offset $((i + 1))
            return
            ;;
        --runs | --warmup | --output | -o | --stacks | --pid | -p | --duration) ((i++)) ;;
        -*) ;;
        *)
            _command_offset "$i"
            return
            ;;
        esac
    done
    case $prev in
    --runs | --warmup | --duration) return ;;
    --pid | -p)
        mapfile -t COMPREPLY < <(compgen -W "$(command -v pgrep >/dev/null && pgrep -u "$(id -u)")" -- "$cur")
        return
        ;;
    --output | -o)
        _filedir
        return
        ;;
    --stacks)
        mapfile -t COMPREPLY < <(compgen -W 'none sampled full all' -- "$cur")
        return
        ;;
    esac
    local options='--compare --compare= --runs --warmup --stats --json --json= --quiet --help --'
    [[ ${words[1]} == record ]] && options='--output --stacks --stacks= --addresses --pid --duration --quiet --help --'
    case $cur in
    --stacks=*)
        mapfile -t COMPREPLY < <(compgen -W 'none sampled full all' -- "${cur#--stacks=}")
        [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/--stacks=}")
        ;;
    --compare=*)
        _tarn_compare "${cur#--compare=}"
        # readline takes what follows the "=" for a word of its own.
        [[ $COMP_WORDBREAKS == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/--compare=}")
        ;;
    --json=*)
        cur=${cur#--json=}
        _filedir
        ;;
    -*)
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        [[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace
        ;;
    *) _command_offset "$cword" ;;
    esac
}

complete -F _tarn tarn
