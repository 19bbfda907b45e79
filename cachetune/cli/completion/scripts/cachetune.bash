# bash completion for cachetune: "cachetune completion bash" prints this.

_cachetune() {
    local line=${COMP_LINE:0:COMP_POINT} word=$2 type value found parts=
    COMPREPLY=()
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    *[\<\>]) # a file of the shell's own
        compopt -o default
        return
        ;;
    esac
    while IFS=$'\t' read -r type value _; do
        case $type in
        file)
            if [[ $value == '*' && ${#COMPREPLY[@]} == 0 ]]; then
                compopt -o default # with ~, quotes and spaces, as everywhere in bash
                return
            fi
            found=${#COMPREPLY[@]}
            while IFS= read -r value; do
                COMPREPLY+=("$value")
            done < <(compgen -f -X "!$value" -- "$word"; compgen -d -- "$word")
            if ((${#COMPREPLY[@]} > found)); then
                compopt -o filenames
            elif ((found == 0)); then
                compopt -o default
            fi
            ;;
        dir)
            compopt -o dirnames
            ;;
        part | plain)
            [[ $type == part ]] && parts=1
            COMPREPLY+=("$value")
            ;;
        esac
    done < <(_CACHETUNE_COMPLETE=bash_complete "${1/#\~/$HOME}" "$line" "$word" 2>/dev/null)
    [[ $parts ]] && compopt -o nospace
    return 0
}

complete -o nosort -F _cachetune cachetune
