"""What helps against each error that a call can end with, for the person who runs an agent."""

from typing import Literal

_EN: dict[str, str] = {
    "invalid_request": "The agent sent something that cannot be read. Update the agent, or report the message above.",
    "request_too_large": "The request has more bytes than this gateway takes. Start a new task or attach less.",
    "context_length_exceeded": "The conversation no longer fits the model. Let the agent compact it, or start anew.",
    "invalid_api_key": "Check the virtual key in the agent's settings: it is unknown, expired or blocked.",
    "not_allowed": "A rule does not allow this. Choose another model or agent, or ask whom the message names.",
    "model_not_found": "Choose one of the models that GET /v1/models lists.",
    "budget_exceeded": "Wait until the budget resets, or ask whom the message names to raise it.",
    "loop_stopped": "The agent repeats what fails. Write to it how to do it otherwise, or start a new task.",
    "rate_limit_exceeded": "Wait as long as the message says; agents do so by themselves.",
    "upstream_rejected": "The model provider refused the request; its words are above. Another model may take it.",
    "upstream_unavailable": "The model provider failed. Try again; if it goes on, an administrator should look.",
    "upstream_access_denied": "The gateway's own access to the model provider is refused. Tell an administrator.",
    "content_blocked": "A guardrail refused the content; the message says which. Leave that out and go on.",
    "upstream_timeout": "The model provider did not answer in time. Try again, or ask for less at once.",
    "store_unavailable": "The gateway cannot check or record money now. Try again, or tell an administrator.",
    "client_gone": "The agent left before the answer was complete. Nothing to mend here.",
    "process_ended": "The gateway's process ended during the call; it is booked at its bound. Try again.",
    "internal_error": "A fault of the gateway. Give the call's id to an administrator.",
}
_JA: dict[str, str] = {
    "invalid_request": "エージェントの送信内容を読み取れません。エージェントを更新するか、管理者に連絡してください。",
    "request_too_large": "リクエストがゲートウェイの上限を超えています。新しいタスクを始めるか、添付を減らします。",
    "context_length_exceeded": "会話がモデルに収まりません。会話を要約させるか、新しいタスクを始めてください。",
    "invalid_api_key": "エージェントに設定した仮想キーを確認してください。未登録、期限切れ、または停止中です。",
    "not_allowed": "許可されていません。別のモデルやエージェントを使うか、メッセージにある相談先に連絡してください。",
    "model_not_found": "GET /v1/models に表示されるモデルを選んでください。",
    "budget_exceeded": "予算が戻るまで待つか、メッセージにある担当者に増額を依頼してください。",
    "loop_stopped": "エージェントが同じ失敗を繰り返しています。別のやり方を指示するか、新しいタスクを始めてください。",
    "rate_limit_exceeded": "メッセージの秒数だけ待ってください。通常はエージェントが自動で再試行します。",
    "upstream_rejected": "モデルの提供元が拒否しました（理由は上のとおり）。別のモデルなら通ることがあります。",
    "upstream_unavailable": "モデルの提供元で障害が起きています。再試行し、続く場合は管理者に連絡してください。",
    "upstream_access_denied": "モデルの提供元へのアクセスが拒否されています。管理者に連絡してください。",
    "content_blocked": "ガードレールが内容を拒否しました。メッセージにある内容を除いて続けてください。",
    "upstream_timeout": "モデルの提供元が時間内に応答しませんでした。再試行するか、依頼を小さく分けてください。",
    "store_unavailable": "ゲートウェイが金額を確認・記録できません。再試行し、続く場合は管理者に連絡してください。",
    "client_gone": "応答が終わる前にエージェントが切断しました。対処は不要です。",
    "process_ended": "呼び出し中にゲートウェイのプロセスが終了し、上限額で計上されました。再試行してください。",
    "internal_error": "ゲートウェイの不具合です。コール ID を管理者に伝えてください。",
}


def remedy(status: str, error: str, language: Literal["en", "ja"]) -> str:
    """What to do. `error`: the code of the call's end; empty for a good one."""
    words = _JA if language == "ja" else _EN
    if not error:
        fine = {"en": "The call went well.", "ja": "この呼び出しは正常に終わりました。"}
        under_way = {"en": "The call is under way.", "ja": "この呼び出しは処理中です。"}
        return (under_way if status == "running" else fine)[language]
    return words.get(error, words["internal_error"])
