"""The official OpenAI SDK, answered from memory."""

import httpx2  # the HTTP library that the SDK itself brings
import openai


def client_answered_with(body: bytes) -> openai.OpenAI:
    """An SDK client to which every request answers this event stream."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})

    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(
        api_key="k", base_url="http://gateway/v1", http_client=httpx2.Client(transport=transport), max_retries=0
    )
