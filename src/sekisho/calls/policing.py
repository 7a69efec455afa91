"""What a caller is told when a policy does not allow a call: which policy, what of it, whom to ask."""

from sekisho.access.policies import Denied, PolicyGate, hours_text
from sekisho.calls.budgeting import audience_of
from sekisho.calls.call import Call
from sekisho.calls.gate import Gate
from sekisho.errors import NotAllowed
from sekisho.values import Policy, ScopeKind

_EN: dict[PolicyGate, str] = {
    "model": "the model '{model}' is not allowed",
    "provider": "the model '{model}' is only at providers that are not allowed",
    "region": "the model '{model}' is only in Regions that are not allowed",
    "geography": "the model '{model}' would be answered outside the places that are allowed",
    "account": "the model '{model}' is only in accounts that are not allowed",
    "agent": "the agent '{agent}' is not allowed",
    "hours": "calls are allowed only {hours}",
}
_JA: dict[PolicyGate, str] = {
    "model": "モデル「{model}」は許可されていません",
    "provider": "モデル「{model}」の提供元は許可されていません",
    "region": "モデル「{model}」のリージョンは許可されていません",
    "geography": "モデル「{model}」は許可された地域の外で処理されます",
    "account": "モデル「{model}」の AWS アカウントは許可されていません",
    "agent": "エージェント「{agent}」は許可されていません",
    "hours": "利用できる時間は {hours} です",
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


def denial(gate: Gate, call: Call, denied: Denied) -> NotAllowed:
    """The error of a call that a policy does not allow, in its caller's language."""
    policy = denied.policy
    words = {
        "model": call.known_model.name,
        "agent": call.agent.name or "?",
        "hours": "; ".join(f"{hours_text(one)} ({one.time_zone})" for one in policy.hours),
    }
    param = "model" if denied.gate in ("model", "provider", "region", "geography", "account") else None
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


def _name(policy: Policy) -> str:
    return policy.name or policy.id
