"""Who is compared: one file per peer, each with the same shape; `PEERS` names them in the order of the tables."""

from bench.peers.envoy import Envoy
from bench.peers.ferrogw import Ferrogw
from bench.peers.litellm import LiteLLM
from bench.peers.nginx import Nginx
from bench.peers.peer import Peer
from bench.peers.portkey import Portkey
from bench.peers.sekisho import Sekisho
from bench.peers.tensorzero import TensorZero

PEERS: tuple[Peer, ...] = (Nginx(), Envoy(), Sekisho(), Ferrogw(), TensorZero(), Portkey(), LiteLLM())
