"""What policies do to a call: whether its answer is made shorter, and what a caller is told whom one does not allow.

Above: the authorize stage. Below: what policies leave of a model (`calls/passage.py`).
"""

from sekisho.access.policies import Denied, PolicyGate, hours_text
from sekisho.calls.budgeting import audience_of
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.dialects.clamping import clamp
from sekisho.errors import NotAllowed
from sekisho.values import Policy, ScopeKind

_EN: dict[PolicyGate, str] = {
    "model": "the model '{model}' is not allowed",
    "family": "models of the family '{family}' are not allowed",
    "provider": "the model '{model}' is only at providers that are not allowed",
    "region": "the model '{model}' is only in Regions that are not allowed",
    "geography": "the model '{model}' would be answered outside the places that are allowed",
    "account": "the model '{model}' is only in accounts that are not allowed",
    "agent": "the agent '{agent}' is not allowed",
    "hours": "calls are allowed only {hours}",
    "holiday": "no calls are allowed on {holiday}",
}
_JA: dict[PolicyGate, str] = {
    "model": "モデル「{model}」は許可されていません",
    "family": "「{family}」系のモデルは許可されていません",
    "provider": "モデル「{model}」の提供元は許可されていません",
    "region": "モデル「{model}」のリージョンは許可されていません",
    "geography": "モデル「{model}」は許可された地域の外で処理されます",
    "account": "モデル「{model}」の AWS アカウントは許可されていません",
    "agent": "エージェント「{agent}」は許可されていません",
    "hours": "利用できる時間は {hours} です",
    "holiday": "{holiday} は利用できません",
}
_EN_SCOPES: dict[ScopeKind, str] = {
    "org": "the organisation",
    "team": "your team",
    "member": "your membership in this team",
    "user": "your account",
    "key": "this key",
    "tag": "the tag '{id}'",
}
_JA_SCOPES: dict[ScopeKind, str] = {
    "org": "組織",
    "team": "あなたのチーム",
    "member": "このチームでのあなた",
    "user": "あなた",
    "key": "このキー",
    "tag": "タグ「{id}」",
}


def not_listed(gate: Gate, call: Call) -> NotAllowed:
    """The error of a call to a model that the list of its key, or of the key's team, does not name."""
    model = call.known_model.name
    to = audience_of(gate, call)
    if to.language == "ja":
        names = f"（{'、'.join(to.leads)}）" if to.leads else ""
        return NotAllowed(
            f"モデル「{model}」は、このキーまたはチームで使用できるモデルに含まれていません。使用できるモデルは "
            f"GET /v1/models で確認できます。追加はチームの責任者{names}か管理者に依頼してください。",
            param="model",
        )
    names = f" ({', '.join(to.leads)})" if to.leads else ""
    return NotAllowed(
        f"This key may not use the model '{model}': it is not among the models of the key or of its team. "
        f"GET /v1/models lists those it may use. To add it, ask your team lead{names} or the administrator.",
        param="model",
    )


def denial(gate: Gate, call: Call, denied: Denied) -> NotAllowed:
    """The error of a call that a policy does not allow, in its caller's language."""
    policy = denied.policy
    words = {
        "model": call.known_model.name,
        "family": call.known_model.family,
        "agent": call.agent.name or "?",
        "hours": "; ".join(f"{hours_text(one)} ({one.time_zone})" for one in policy.hours),
        "holiday": denied.holiday,
    }
    param = None if denied.gate in ("agent", "hours", "holiday") else "model"
    if audience_of(gate, call).language == "ja":
        reason = _JA[denied.gate].format(**words)
        scope = _JA_SCOPES[policy.scope.kind].format(id=policy.scope.id)
        return NotAllowed(
            f"{reason}。{scope}に対するポリシー「{_name(policy)}」によります。管理者に相談してください。", param=param
        )
    reason = _EN[denied.gate].format(**words)
    scope = _EN_SCOPES[policy.scope.kind].format(id=policy.scope.id)
    sentence = f"{reason[0].upper()}{reason[1:]}, by the policy '{_name(policy)}' of {scope}."
    return NotAllowed(f"{sentence} Ask the administrator.", param=param)


def shorten(call: Call) -> None:
    """Let the answer be no longer than the model may give, which may be less than the client asked for.

    Most wires write that length in any case. One that takes the client's own, or none, is given it in the body."""
    asked = call.max_output_tokens
    most = call.max_output_tokens = min(asked, call.known_model.max_output_tokens)
    if call.door == "bedrock_converse" or any(one.wire == "openai_chat" for one in call.known_model.deployments):
        call.body, call.fields = clamp(call.door, call.fields, asked, most)


def _name(policy: Policy) -> str:
    return policy.name or policy.id
