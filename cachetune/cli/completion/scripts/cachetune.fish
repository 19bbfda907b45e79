# fish completion for cachetune: "cachetune completion fish" prints this.

# The paths that begin like the word, as fish completes them for a command of which it knows nothing.
function __cachetune_paths --argument-names word pattern
    set -l paths (complete -C "__cachetune_knows_nothing $word" | string replace -r '\t.*' '')
    set -l wanted (string match -- $pattern $paths; string match -- '*/' $paths)
    test "$pattern" != '*'; and set -q wanted[1]; and set paths $wanted
    printf '%s\n' $paths
end

function __cachetune_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    # fish replaces the whole word, so the option in --option=VALUE stays in front.
    set -l option (string match -r -- '^--[a-z0-9-]+=' "$word")
    set -l begun (string replace -r -- '^--[a-z0-9-]+=' '' "$word")
    _CACHETUNE_COMPLETE=fish_complete $program $words "$word" 2>/dev/null | while read -l -d \t type value text
        switch $type
            case file
                printf '%s\n' "$option"(__cachetune_paths "$begun" $value)
            case dir
                printf '%s\n' "$option"(__cachetune_paths "$begun" '*/')
            case '*'
                printf '%s\t%s\n' "$option$value" $text
        end
    end
end

complete --command cachetune --no-files --keep-order --arguments '(__cachetune_complete)'
