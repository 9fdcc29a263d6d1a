# Completion for bash of ringcast and its tools. It reads their --help, so that it offers what the
# installed version has.

# _ringcast_value OPTION: the value that the option needs, from a help on standard input.
_ringcast_value() {
    sed -nE "s/^  (-[[:alpha:]], |    )?($1|$1, --[a-z-]+) ([^ ]+)( .*)?$/\3/p"
}

# _ringcast_options: all options of a help on standard input, a line each.
_ringcast_options() {
    sed -nE 's/^  (-[[:alpha:]], |    )?(--[a-z-]+).*/\2/p'
}

# _ringcast_commands: the commands of a help on standard input, a line each.
_ringcast_commands() {
    sed -nE '/^Commands:/,/^$/s/^  ([a-z]+) .*/\1/p'
}

# _ringcast_choices VALUE: the words of a value such as yes|no; without them, those that a help on
# standard input has behind "One of:".
_ringcast_choices() {
    case $1 in
    *'|'*) tr '|' '\n' <<<"$1" | grep -E '^[a-z0-9]+$' ;;
    *) tr '\n' ' ' | tr -s ' ' | sed -nE 's/.*One of: (([^ ]+, )*[^ ]+)\..*/\1/p' | sed 's/, /\n/g' ;;
    esac
}

_ringcast() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} at=1 help value
    local command=("${COMP_WORDS[0]/#\~/$HOME}") offered
    while ((at < COMP_CWORD)) && [[ ${COMP_WORDS[at]} =~ ^[a-z]+$ ]]; do
        command+=("${COMP_WORDS[at++]}")
    done
    case ${command[*]} in
    # --help has the common options only. A description there may have lines that begin with an option.
    *ringcast) help=$("${command[0]}" help all | sed '/^      --/d') ;;
    *) help=$("${command[@]}" --help 2>/dev/null) ;;
    esac

    case $previous in
    -*) value=$(_ringcast_value "$previous" <<<"$help") ;;
    esac
    case $value in
    '') ;;
    *DIR*) compopt -o filenames && mapfile -t COMPREPLY < <(compgen -d -- "$current") && return ;;
    *FILE* | PATH | CHAIN*)
        compopt -o filenames && mapfile -t COMPREPLY < <(compgen -f -- "$current") && return
        ;;
    *)
        offered=$("${command[0]}" help "${previous#--}" 2>/dev/null | _ringcast_choices "$value")
        mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$current")
        return
        ;;
    esac
    if [[ ${command[1]} = help ]]; then
        offered=$("${command[0]}" --help | sed -nE '/^Topics of/,/^$/s/^  ([a-z-]+) .*/\1/p')
    elif ((at == COMP_CWORD)); then
        offered=$("${command[@]}" --help 2>/dev/null | _ringcast_commands)
    fi
    [[ -n $offered && $current != -* ]] || offered=$(_ringcast_options <<<"$help")
    mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$current" | sort -u)
}

complete -F _ringcast ringcast ringcast-tap ringcast-echo ringcast-bench
