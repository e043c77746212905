"""Tor as a network of its own on the line: A is the client, B the guard and the
one authority, C the middle, D the exit, and the server stands on D."""

import netlab
from candidates.bare import route
from candidates.base import SOCKS_PORT, Candidate

OR_PORT, DIR_PORT = 9001, 9030

COMMON = """\
DataDirectory {dir}/data
Nickname {name}
Address {address}
RunAsDaemon 0
Log notice stdout
TestingTorNetwork 1
AssumeReachable 1
PathsNeededToBuildCircuits 0.25
EnforceDistinctSubnets 0
ShutdownWaitLength 0
DirAllowPrivateAddresses 1
DirAuthority b orport={or_port} no-v2 v3ident={v3ident} {b}:{dir_port} {fingerprint}
"""
RELAY = """\
ORPort {address}:{or_port} IPv4Only
SocksPort 0
PublishServerDescriptor 1
ExitRelay {exit}
"""
EXIT = """\
ExitPolicy accept *:*
ExitPolicyRejectPrivate 0
ExitPolicyRejectLocalInterfaces 0
"""
AUTHORITY = """\
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
DirPort {address}:{dir_port} IPv4Only
ContactInfo bench
TestingV3AuthInitialVotingInterval 10
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
V3AuthVotingInterval 20
V3AuthVoteDelay 2
V3AuthDistDelay 2
TestingDirAuthVoteExit *
TestingDirAuthVoteGuard *
TestingDirAuthVoteHSDir *
TestingMinExitFlagThreshold 0
"""
CLIENT = """\
SocksPort 127.0.0.1:{socks}
ClientRejectInternalAddresses 0
ClientDNSRejectInternalAddresses 0
EntryNodes b
MiddleNodes c
ExitNodes d
StrictNodes 1
"""


class Tor(Candidate):
    name = "Tor"
    programs = ("tor", "tor-gencert")
    packages = ("tor",)
    roles = frozenset({"socks chain"})
    is_standing = True
    ready_s = 150

    def outside(self, host):
        return self.outer(next(self.neighbours(host))[0], host)

    def prepare(self):
        route(self)
        b = self.hosts()[1]
        keys = b.dir / "data" / "keys"
        keys.mkdir(parents=True, mode=0o700)
        (b.dir / "data").chmod(0o700)
        netlab.run("tor-gencert", "--create-identity-key", "-m", "12", "-a", f"{self.outside(b)}:{DIR_PORT}",
                   "--passphrase-fd", "0", input="bench\n", cwd=keys)
        v3ident = next(line.split()[1] for line in (keys / "authority_certificate").read_text().splitlines()
                       if line.startswith("fingerprint"))
        more = {"or_port": OR_PORT, "dir_port": DIR_PORT, "socks": SOCKS_PORT, "v3ident": v3ident,
                "b": self.outside(b), "fingerprint": "F" * 40}
        # Only tor itself can tell the authority's other fingerprint.
        self.write(b, more)
        line = netlab.run("tor", "-f", b.dir / "torrc", "--list-fingerprint", "--quiet").stdout
        more["fingerprint"] = "".join(line.split()[1:])
        for host in self.hosts():
            self.write(host, more)

    def write(self, host, more):
        a, b, _, d = self.hosts()
        text = COMMON + (CLIENT if host is a else RELAY)
        text += AUTHORITY if host is b else ""
        text += EXIT if host is d else ""
        text = text.format(dir=host.dir, name=host.name, address=self.outside(host), exit=int(host is d), **more)
        (host.dir / "torrc").write_text(text)

    def start(self, host):
        self.spawn(host, "tor", "-f", host.dir / "torrc")

    def proxy(self, client, server):
        return "127.0.0.1", SOCKS_PORT, self.outside(server)
