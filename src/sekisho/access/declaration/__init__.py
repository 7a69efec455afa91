"""The organisation as one file: read it, compare it with what there is, write it.

`tree` parses YAML, `reading` makes a declaration of it, `holding` says the same of what the store has, `difference`
compares the two and says what to write, `document` turns what there is into a file again.
"""
