"""Everything that can be measured, ourselves first."""

from candidates.bare import Bare
from candidates.fastd import Fastd
from candidates.nebula import Nebula
from candidates.openvpn import OpenVpn
from candidates.qanat import Qanat
from candidates.ssh import Ssh
from candidates.tinc import Tinc
from candidates.tor import Tor
from candidates.wireguard import MicroSocks, WireGuard, WireGuardBabel
from candidates.yggdrasil import Yggdrasil

ALL = (Qanat, Bare, WireGuard, WireGuardBabel, Yggdrasil, Nebula, Tinc, OpenVpn, Fastd, Ssh, MicroSocks, Tor)
