# fish completion for cachetune: "cachetune completion fish" prints this.

function __cachetune_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    # fish replaces the whole word, so --option= stays in front.
    set -l front (string match -r -- '^--[a-z0-9-]+=' "$word")
    _CACHETUNE_COMPLETE=fish_complete $program $words "$word" 2>/dev/null | while read -l -d \t type value text
        switch $type
            case file
                set -l begun (string replace -r -- '^--[a-z0-9-]+=' '' "$word")
                for path in (test "$value" = '*'; and __fish_complete_path "$begun"; or __fish_complete_suffix --complete="$begun" (string replace '*' '' "$value"))
                    printf '%s%s\n' "$front" $path
                end
            case dir
                for path in (__fish_complete_directories (string replace -r -- '^--[a-z0-9-]+=' '' "$word") '')
                    printf '%s%s\n' "$front" $path
                end
            case '*'
                printf '%s%s\t%s\n' "$front" $value $text
        end
    end
end

complete --command cachetune --no-files --keep-order --arguments '(__cachetune_complete)'
