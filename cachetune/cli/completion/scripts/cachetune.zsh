#compdef cachetune
# zsh completion for cachetune: "cachetune completion zsh" prints this.

_cachetune() {
    local type value text files= directories=
    local -a plain parts
    while IFS=$'\t' read -r type value text; do
        case $type in
        file) files=$value ;;
        dir) directories=1 ;;
        *)
            value=${value//\\/\\\\}
            value=${value//:/\\:}
            [[ $type == part ]] && parts+=("$value:$text") || plain+=("$value:$text")
            ;;
        esac
    done < <(_CACHETUNE_COMPLETE=zsh_complete ${~words[1]} "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)

    [[ $PREFIX == --*=* ]] && compset -P '*='
    local found=1
    (($#plain)) && _describe -V value plain && found=0
    (($#parts)) && _describe -V value parts -S '' && found=0
    [[ -n $files ]] && { _files -g "$files" && found=0 }
    [[ -n $directories ]] && { _files -/ && found=0 }
    return found
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _cachetune "$@" # a file in fpath
else
    compdef _cachetune cachetune # eval or source
fi
