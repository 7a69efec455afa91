"""Amazon Bedrock on loopback: the real wire, as strict as Bedrock, with scripted answers, faults and a prompt cache.

Above: app/ runs it as a process; tests run it in theirs. Below: the neutral exchange form and botocore's service model.
It knows nothing of the gateway: what the gateway sends here is judged as AWS would judge it.
"""
