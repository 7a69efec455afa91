"""The texts of the console: `ja` and `en` for the shell and the live page, and one file per page with both languages.

No name stands in two files.
"""

from sekisho.web.console.texts import cost, keys, me, operate, shell, sign_in, tasks, why

PAGES = (shell, sign_in, cost, keys, me, operate, tasks, why)
