"""What the simulator's callers sign with.

Not secrets: they open nothing but this simulator, and are written so that nobody takes them for keys.
"""

from sekisho.values import AwsCredential

SIMULATOR_CREDENTIAL = AwsCredential("AKIASIMULATORONLY000", "simulator-only-not-a-secret")
SIMULATOR_BEARER_TOKEN = "ABSK-simulator-only-not-a-secret"
