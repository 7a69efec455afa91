"""Words of the pages about keys and members."""

JA = {
    "nav.keys": "キー",
    "nav.members": "メンバー",
    "keys.none": "キーはまだありません",
    "keys.none.why": "キーがあると、エージェントから関所を通れます。",
}
EN = {
    "nav.keys": "Keys",
    "nav.members": "Members",
    "keys.none": "There is no key yet",
    "keys.none.why": "With a key an agent can pass the gate.",
}
