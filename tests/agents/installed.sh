# For the scripts beside it: finds or installs the agents (AGENT_PATH), and forgets this machine's own settings.

install() {
  mkdir -p .agents && cd .agents || exit 1
  [ -f package.json ] || npm init -y >/dev/null 2>&1
  npm install --no-audit --no-fund cline@3.0.65 @anthropic-ai/claude-code@2.1.197 @openai/codex@0.169.0 \
    opencode-ai@1.18.33 @continuedev/cli@1.5.47 "$kilo@7.7.9" >npm.log 2>&1 || { tail -5 npm.log; exit 1; }
  [ -x aider/bin/aider ] || { ${AIDER_PYTHON:-python3} -m venv aider && aider/bin/pip install -q aider-chat==0.86.2 >pip.log 2>&1; } || { tail -5 pip.log; exit 1; }
  cd "$root" || exit 1
}

if [ -z "${AGENT_PATH:-}" ]; then
  command -v npm >/dev/null || { echo "npm is needed to install the agents; or name the folders that hold them in AGENT_PATH."; exit 1; }
  kilo=@kilocode/cli-$(node -p 'process.platform + "-" + process.arch') # the package without a platform finds no program
  install
  AGENT_PATH=$root/.agents/node_modules/.bin:$root/.agents/node_modules/$kilo/bin:$root/.agents/aider/bin
fi

# nothing of this machine's own settings: neither credentials, which would mean the real Bedrock, nor the agents' files
for name in $(env | cut -d= -f1 | grep -E '^(ANTHROPIC|CLAUDE|OPENAI|CODEX|AWS|CLINE|OPENCODE|KILO|LITELLM|SEKISHO|XDG)_'); do unset "$name"; done
