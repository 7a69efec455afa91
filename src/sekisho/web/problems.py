"""Sentences with which the admin API refuses something, in Japanese: for the console and the command line. A pattern
fits the whole English sentence; what is in brackets goes into the Japanese one."""

import re

_PROBLEMS: tuple[tuple[str, str], ...] = (
    (r"This is more than the team's own budget\.", "部門の予算を超えています。"),
    (r"The team's own limit is (.+)\.", "部門の上限は {0} です。"),
    (r"The team may not use the model '(.+)'\.", "この部門ではモデル「{0}」を使えません。"),
    (r"This user is not a member of this team\.", "この人はこの部門のメンバーではありません。"),
    (r"Say for which of your teams the key is, in team_id\.", "どの部門のキーかを選んでください。"),
    (
        r"There is no such (key|team|user|budget|limit|policy)\.",
        "対象が見つかりません。すでに削除されたようです。",
    ),
    (r"An amount .*", "金額は 10 や 10.50 のようにドルで書いてください。"),
    (r"A duration is .*", "期間は 30d（30 日）、24h（24 時間）のように書いてください。"),
    (r"A link lives for at most 30 days\.", "リンクの期限は 30 日までです。"),
    (r"The grace is at most (\d+) days\.", "猶予は {0} 日までです。"),
    (r"Nobody can sign in for what belongs to no user\.", "使う人のいないキーには、本人だけのリンクを作れません。"),
    (r".*alias.*(taken|already|in use).*", "その名前はすでに使われています。"),
    (r"This needs the permission .*", "この操作の権限がありません。"),
    (
        r"This key was blocked by a role above yours: .*",
        "このキーは上位の権限で止められています。再開は管理者に頼んでください。",
    ),
    (
        r"This budget was set by a role above yours: .*",
        "この予算は上位の権限で設定されたものです。引き下げられますが、引き上げと削除は管理者に頼んでください。",
    ),
    (
        r"This limit was set by a role above yours: .*",
        "この制限は上位の権限で設定されたものです。厳しくはできますが、緩めることと削除は管理者に頼んでください。",
    ),
    (
        r"This member has a budget or limit that a role above yours has set, .*",
        "このメンバーには上位の権限で設定された予算か制限があり、外すと一緒に消えます。管理者に頼んでください。",
    ),
    (r"A rate is a decimal such as .*", "レートは 156.20 のように書いてください。"),
    (r"The day of a rate looks like .*", "日付は 2026-01-31 のように書いてください。"),
    (r"State at most 500 rates, one for a day\.", "レートは 1 日に 1 つ、500 件までです。"),
    (r"The band begins at or below its end\.", "目安の下限は上限以下にしてください。"),
    (r"State at least one of .*", "少なくとも 1 つを指定してください。"),
    (r"There is no model '(.+)'.*", "モデル「{0}」はありません。"),
    (r"There is no (\w+) '(.+)'.*", "「{1}」は見つかりません。"),
    (
        r"The identity provider does not answer at (.+) through the proxy \(https_proxy\)\.",
        "プロキシ（https_proxy）経由で接続しましたが、ID プロバイダーが応答しません：{0}",
    ),
    (r"The identity provider does not answer at (.+)\.", "ID プロバイダーが応答しません：{0}"),
    (
        r"The identity provider answers (\d+) at (.+)\.",
        "ID プロバイダーがステータス {0} を返しました：{1}",
    ),
    (
        r"The identity provider's answer at (.+) cannot be read\.",
        "ID プロバイダーの応答を読み取れません：{0}",
    ),
    (r"The identity provider's address must be https\.", "ID プロバイダーのアドレスは https に限ります。"),
    (r"The provider's addresses are not https\.", "ID プロバイダーが公開しているアドレスが https ではありません。"),
    (
        r"The provider calls itself (.+): set oidc_issuer to that\.",
        "ID プロバイダーの発行者は {0} です。oidc_issuer をこの値に変更してください。",
    ),
    (r"The provider's keys cannot be read\.", "ID プロバイダーの署名鍵を読み取れません。"),
    (r"'(.+)' is none of (.+)\.", "「{0}」は使えません。次から選んでください：{1}。"),
)


def in_japanese(said: str) -> str | None:
    """The sentence in Japanese; None for one that is not here."""
    for pattern, text in _PROBLEMS:
        if match := re.fullmatch(pattern, said):
            return text.format(*match.groups())
    return None
