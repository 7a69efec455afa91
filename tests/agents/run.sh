#!/usr/bin/env bash
# Real coding agents through a real Sekisho on its simulator: `make agents [AGENTS="cline claude"]`.
# Installs the agents under .agents/ (npm, pip; outside the product's dependencies), configures each with `sekisho setup`
# in an empty home, gives it a task in an empty repository, and looks at the file afterwards.
# `newcomer`: the first ten minutes of somebody who reads Japanese, with Cline.
# Prints one line per agent; exits 0 only if every agent really edited its file.
# AGENT_PATH: folders with installed agents, separated by colons, instead of .agents/.  AGENT_MODEL: the model they use.
# AGENT_TIMEOUT: seconds per agent (default 180).  AGENT_SEKISHO: another command than this checkout's .venv/bin/sekisho.
# AIDER_PYTHON: a Python that aider runs on (3.10 to 3.12).
set -u
cd "$(dirname "$0")/../.."
root=$PWD
sekisho=${AGENT_SEKISHO:-$root/.venv/bin/sekisho}
agents=${AGENTS:-newcomer cline cline-bedrock claude claude-bedrock codex opencode kilo continue aider}
timeout_s=${AGENT_TIMEOUT:-180}
model=${AGENT_MODEL:-claude-sonnet-4-6}
prompt="The function add in calc.py subtracts instead of adding. Fix it by editing calc.py, then stop."

. tests/agents/installed.sh
scratch=$(mktemp -d)
HOME=$scratch SEKISHO_LANG=en "$sekisho" serve --home "$scratch/sekisho" --port 0 >"$scratch/serve.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null; rm -rf "$scratch"' EXIT
for _ in $(seq 100); do grep -q '^Ctrl-C' "$scratch/serve.log" && break; kill -0 $server 2>/dev/null || break; sleep 0.1; done
url=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$scratch/serve.log" | head -1)
key=$(grep -oE 'sk-[A-Za-z0-9_-]{40,}' "$scratch/serve.log" | head -1)
[ -n "$url" ] && [ -n "$key" ] || { cat "$scratch/serve.log"; exit 1; }

run() { # AGENT: in its own home and repository
  local agent=$1 log=$scratch/$1.log home=$scratch/$1/home repo=$scratch/$1/work
  mkdir -p "$home" "$repo"
  (
    export HOME=$home PATH=$AGENT_PATH:$PATH CI=1 NO_COLOR=1 TERM=dumb DO_NOT_TRACK=1
    cd "$repo" || exit 1
    printf 'def add(a, b):\n    return a - b\n' >calc.py
    git init -q . && git config user.name t && git config user.email t@example.invalid
    git add -A && git commit -qm start
    case $agent in
      *-bedrock) ;;
      *) "$sekisho" setup "$agent" --url "$url" --key "$key" --model "$model" || exit 1 ;;
    esac
    export CLINE_SESSION_BACKEND_MODE=local CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1
    export OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1
    export KILO_TELEMETRY_LEVEL=off KILO_DISABLE_SESSION_INGEST=1 KILO_DISABLE_AUTOUPDATE=1 KILO_DISABLE_MODELS_FETCH=1
    export CONTINUE_TELEMETRY_ENABLED=0 LITELLM_LOCAL_MODEL_COST_MAP=True
    case $agent in
      cline) timeout -k 5 "$timeout_s" cline -P litellm -m "$model" -c "$repo" -t "$timeout_s" "$prompt" ;;
      cline-bedrock)
        mkdir -p "$home/.cline/data/settings"
        printf '{"version":1,"lastUsedProvider":"bedrock","modes":{},"providers":{"bedrock":{"updatedAt":"2026-01-01T00:00:00.000Z","tokenSource":"manual","settings":{"provider":"bedrock","apiKey":"%s","model":"%s","region":"us-east-1","aws":{"region":"us-east-1","authentication":"api-key","endpoint":"%s","usePromptCache":true}}}}}' "$key" "$model" "$url" >"$home/.cline/data/settings/providers.json"
        timeout -k 5 "$timeout_s" cline -P bedrock -m "$model" -c "$repo" -t "$timeout_s" "$prompt" ;;
      claude) timeout -k 5 "$timeout_s" claude -p "$prompt" --permission-mode acceptEdits ;;
      claude-bedrock)
        export CLAUDE_CODE_USE_BEDROCK=1 CLAUDE_CODE_SKIP_BEDROCK_AUTH=1 AWS_REGION=us-east-1
        export ANTHROPIC_BEDROCK_BASE_URL=$url ANTHROPIC_AUTH_TOKEN=$key ANTHROPIC_MODEL=$model
        export ANTHROPIC_DEFAULT_HAIKU_MODEL=$model ANTHROPIC_DEFAULT_SONNET_MODEL=$model ANTHROPIC_DEFAULT_OPUS_MODEL=$model
        timeout -k 5 "$timeout_s" claude -p "$prompt" --permission-mode acceptEdits ;;
      codex) timeout -k 5 "$timeout_s" codex exec --skip-git-repo-check -s danger-full-access "$prompt" ;;
      opencode) timeout -k 5 "$timeout_s" opencode run "$prompt" ;;
      kilo) timeout -k 5 "$timeout_s" kilo run --auto "$prompt" ;;
      continue) timeout -k 5 "$timeout_s" cn --config "$home/.continue/config.yaml" --auto -p "$prompt" ;;
      aider) timeout -k 5 "$timeout_s" aider --yes-always --no-auto-commits --no-check-update --analytics-disable --no-gitignore --map-tokens 0 --message "$prompt" calc.py ;;
      *) echo "unknown agent $agent"; exit 64 ;;
    esac
  ) </dev/null >"$log" 2>&1
  (cd "$repo" && python3 -c 'import sys, calc; sys.exit(calc.add(2, 3) != 5)') 2>/dev/null
}

failed=0
for agent in $agents; do
  if [ "$agent" = newcomer ]; then bash tests/agents/newcomer.sh >"$scratch/newcomer.log" 2>&1; else run "$agent"; fi
  if [ $? = 0 ]; then echo "PASS $agent"; else echo "FAIL $agent"; tail -c 1500 "$scratch/$agent.log"; echo; failed=1; fi
done
exit $failed
