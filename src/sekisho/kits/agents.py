"""Every agent that `sekisho setup` knows."""

from sekisho.kits import aider, claude, cline, codex, continue_dev, kilo, opencode
from sekisho.kits.target import Kit

KITS: dict[str, Kit] = {
    kit.name: kit for kit in (cline.KIT, claude.KIT, codex.KIT, opencode.KIT, kilo.KIT, continue_dev.KIT, aider.KIT)
}
