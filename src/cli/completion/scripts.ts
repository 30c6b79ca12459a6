/**
 * What a shell has to be told so that it asks `jarvisctl __complete`. Each line of the answer is a candidate, a tab and
 * its description; or `:files` or `:directories`, which the shell knows itself.
 */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const BASH = String.raw`# bash completion of jarvisctl; now: source <(jarvisctl completion bash), always: that line in ~/.bashrc
_jarvisctl() {
  local line="${'$'}{COMP_LINE:0:COMP_POINT}" candidate sign kept=""
  local -a words
  read -ra words <<< "$line"
  if [[ "$line" == *[[:space:]] ]]; then words+=(""); fi
  local current="${'$'}{words[${'$'}{#words[@]} - 1]}"
  # Of a word with these signs bash replaces only what comes after the last of them.
  for sign in : =; do
    if [[ "$COMP_WORDBREAKS" == *"$sign"* && "${'$'}{current#"$kept"}" == *"$sign"* ]]; then
      kept="${'$'}{current%"${'$'}{current##*"$sign"}"}"
    fi
  done
  COMPREPLY=()
  while IFS= read -r candidate; do
    case "$candidate" in
      :files) compopt -o filenames 2>/dev/null
        while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "${'$'}{current#"$kept"}") ;;
      :directories) compopt -o filenames 2>/dev/null
        while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -d -- "${'$'}{current#"$kept"}") ;;
      *) candidate="${'$'}{candidate%%$'\t'*}"; COMPREPLY+=("${'$'}{candidate#"$kept"}") ;;
    esac
  done < <("${'$'}{words[0]/#\~/$HOME}" __complete -- "${'$'}{words[@]:1}" 2>/dev/null)
}
complete -F _jarvisctl jarvisctl
`;

const ZSH = String.raw`#compdef jarvisctl
# zsh completion of jarvisctl; now: source <(jarvisctl completion zsh), always: that line in ~/.zshrc, after compinit
_jarvisctl() {
  local value description
  local -a candidates
  while IFS=$'\t' read -r value description; do
    case "$value" in
      :files) _files; return ;;
      :directories) _files -/; return ;;
      *) candidates+=("${'$'}{value//:/\\:}:$description") ;;
    esac
  done < <("${'$'}{(Q)words[1]/#\~/$HOME}" __complete -- "${'$'}{(@Q)words[2,CURRENT]}" 2>/dev/null)
  _describe -V jarvisctl candidates
}
(( $+functions[compdef] )) && compdef _jarvisctl jarvisctl
`;

const FISH = String.raw`# fish completion of jarvisctl; now: jarvisctl completion fish | source
# always: jarvisctl completion fish > ~/.config/fish/completions/jarvisctl.fish
function __jarvisctl_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  for line in (command $words[1] __complete -- $words[2..-1] "$current" 2>/dev/null)
    switch $line
      case ':files'
        __fish_complete_path "$current"
      case ':directories'
        __fish_complete_directories "$current"
      case '*'
        echo $line
    end
  end
end
complete -c jarvisctl -f -k -a '(__jarvisctl_complete)'
`;

export const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
