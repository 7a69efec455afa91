#!/usr/bin/env bash
# The first ten minutes of somebody who reads Japanese, with the real Cline: start, demo, setup, a file edited, the
# department's spend moved by exactly that amount, a budget of five cents, the refusal read in Cline, the audit log proved.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
sekisho=${AGENT_SEKISHO:-$root/.venv/bin/sekisho}
. tests/agents/installed.sh
scratch=$(mktemp -d)
export HOME=$scratch LANG=ja_JP.UTF-8 SEKISHO_HOME=$scratch/sekisho
"$sekisho" serve --port 0 >"$scratch/serve.log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true; rm -rf "$scratch"' EXIT
for _ in $(seq 200); do grep -q '^Ctrl-C' "$scratch/serve.log" && break; kill -0 $server; sleep 0.1; done
url=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$scratch/serve.log" | head -1)

key=$("$sekisho" demo --yes --scale 0.05 | tee /dev/stderr | grep -oE 'sk-[A-Za-z0-9_-]{40,}')
spent() { # JSON of a list of budgets or of a report: nano-dollars of the department, or of everything in it
  python3 -c 'import json, sys; d = json.load(sys.stdin)
print(d["total"]["cost_nanousd"] if isinstance(d, dict) else
      next(one["spent_nanousd"] for one in d if one["scope"] == {"kind": "team", "id": "demo-a"}))'
}
before=$("$sekisho" budget list --json | spent)

mkdir -p "$scratch/work" && cd "$scratch/work"
printf 'def add(a, b):\n    return a - b\n' >calc.py
git init -q . && git add -A && git -c user.name=t -c user.email=t@example.invalid commit -qm start
SEKISHO_KEY=$key "$sekisho" setup cline --url "$url" --model claude-sonnet-5-5
export PATH=$AGENT_PATH:$PATH CI=1 NO_COLOR=1 TERM=dumb DO_NOT_TRACK=1 CLINE_SESSION_BACKEND_MODE=local
cline() { command cline -P litellm -m claude-sonnet-5-5 -c "$PWD" -t 120 "calc.py の add が引き算をしています。calc.py を編集して直してください。" </dev/null; }
cline
python3 -c 'import calc; assert calc.add(2, 3) == 5'

key_id=$("$sekisho" key list --team demo-a --json | python3 -c 'import json, sys
print(next(one["id"] for one in json.load(sys.stdin) if one["alias"] == "demo-your-key"))')
cost=$("$sekisho" spend --key "$key_id" --json | spent)
after=$("$sekisho" budget list --json | spent)
[ "$cost" -gt 0 ] && [ $((after - before)) = "$cost" ]

"$sekisho" budget create "key:$key_id" 0.05
for _ in 1 2 3 4; do git checkout -q calc.py; cline >"$scratch/told" 2>&1 || true; done
cat "$scratch/told"
grep -q 'このキーの予算に、このコールの分の残りがありません' "$scratch/told"
[ "$("$sekisho" spend --key "$key_id" --json | spent)" -le 50000000 ]
"$sekisho" audit verify
