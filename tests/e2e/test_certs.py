"""Keys and certificates made by openssl, certtool and our own tool, as `qanat`
sees them.  Needs no root and no network."""

import base64
import hashlib
import ipaddress
import json
import os
import stat
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("QANAT_BUILD", ROOT / "build" / "release"))
QANAT = BUILD.resolve() / "qanat"

OPENSSL_LEAF = """[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:alice.fuse
"""
OPENSSL_CA = """[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
"""
CERTTOOL_LEAF = """cn = alice
dns_name = alice.fuse
expiration_days = 30
signing_key
tls_www_server
tls_www_client
"""
CERTTOOL_CA = """cn = "a cluster"
expiration_days = 300
ca
cert_signing_key
"""


def run(*command, cwd, code=0):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        umask=0o022,
        env={**os.environ, "LC_ALL": "C", "TZ": "Asia/Tokyo"},
    )
    assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
    return done


def qanat(*args, cwd, code=0):
    return run(QANAT, *args, cwd=cwd, code=code)


def show(directory):
    return json.loads(qanat("cert", "show", "--json", directory, cwd=directory).stdout)


def refusal(directory):
    """What the tool says of a bad directory, without "qanat: DIRECTORY/"."""
    done = qanat("cert", "show", directory, cwd=directory, code=1)
    assert done.stdout == ""
    message = done.stderr.removesuffix("\n")
    report = qanat("check", "--json", directory, cwd=directory, code=1).stdout
    assert json.loads(report) == {"valid": False, "error": message.removeprefix("qanat: ")}
    return message.removeprefix(f"qanat: {directory}/")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def spki_hash(directory, certificate):
    """H(k) as openssl and Python see it."""
    pem = run("openssl", "x509", "-in", certificate, "-noout", "-pubkey", cwd=directory).stdout
    body = "".join(line for line in pem.splitlines() if "-----" not in line)
    return hashlib.sha256(base64.b64decode(body)).digest()


def assert_identity(directory, names=("alice.fuse",)):
    """Address, id and prefix, worked out here from the files."""
    node = spki_hash(directory, "cert.crt")
    ca = spki_hash(directory, "ca.crt")
    facts = show(directory)
    assert facts["valid"] is True
    assert facts["hash"] == node.hex()
    assert facts["ca_hash"] == ca.hex()
    assert facts["id"] == base64.b32encode(node[:10]).decode().lower() + ".fuse"
    address = ipaddress.ip_address(bytes((0xFD, 0xCC)) + ca[:4] + node[:10])
    assert facts["address"] == str(address)
    assert facts["cluster"] == str(ipaddress.ip_network((address, 48), strict=False))
    assert facts["names"] == list(names)
    return facts


# openssl

KEYS = {
    "ed25519": ("-algorithm", "ed25519"),
    "p256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "rsa2048": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "rsa1024": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
    "p384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
}


def openssl_key(directory, name, kind="ed25519"):
    run("openssl", "genpkey", *KEYS[kind], "-out", name, cwd=directory)


def openssl_ca(directory, kind="ed25519", cn="a cluster"):
    openssl_key(directory, "ca.key", kind)
    run("openssl", "req", "-x509", "-new", "-key", "ca.key", "-days", 300, "-subj", f"/CN={cn}",
        "-addext", "keyUsage=critical,keyCertSign", "-out", "ca.crt", cwd=directory)


def openssl_sign(directory, key, out, section, ca="ca", digest="-sha256", more=""):
    (directory / "x.ext").write_text(OPENSSL_LEAF + OPENSSL_CA + more)
    run("openssl", "req", "-new", "-key", key, "-subj", f"/CN={out}", "-out", "x.csr",
        cwd=directory)
    run("openssl", "x509", "-req", "-in", "x.csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key",
        "-CAcreateserial", "-days", 30, digest, "-extfile", "x.ext", "-extensions", section,
        "-out", out, cwd=directory)


def openssl_node(directory, kind="ed25519"):
    openssl_ca(directory, kind)
    openssl_key(directory, "key.pem")
    openssl_sign(directory, "key.pem", "cert.crt", "leaf")


def test_openssl_with_an_ed25519_ca(tmp_path):
    openssl_node(tmp_path)
    facts = assert_identity(tmp_path)
    assert 28 <= facts["days_left"] <= 30


def test_openssl_with_a_p256_ca(tmp_path):
    openssl_node(tmp_path, "p256")
    assert_identity(tmp_path)


def test_openssl_with_an_rsa_ca(tmp_path):
    openssl_node(tmp_path, "rsa2048")
    assert_identity(tmp_path)


def test_openssl_without_any_extension(tmp_path):
    """`openssl x509 -req` alone, as many a tutorial has it."""
    openssl_ca(tmp_path)
    openssl_key(tmp_path, "key.pem")
    run("openssl", "req", "-new", "-key", "key.pem", "-subj", "/CN=alice", "-out", "x.csr",
        cwd=tmp_path)
    run("openssl", "x509", "-req", "-in", "x.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
        "-CAcreateserial", "-out", "cert.crt", cwd=tmp_path)
    assert_identity(tmp_path, names=())


def test_openssl_with_an_intermediate(tmp_path):
    openssl_ca(tmp_path, "p256")
    openssl_key(tmp_path, "middle.key")
    openssl_sign(tmp_path, "middle.key", "middle.crt", "ca")
    openssl_key(tmp_path, "key.pem")
    openssl_sign(tmp_path, "key.pem", "leaf.crt", "leaf", ca="middle")
    leaf, middle, root = ((tmp_path / f"{name}.crt").read_text() for name in
                          ("leaf", "middle", "ca"))
    for bundle in (leaf + middle, leaf + middle + root, root + middle + leaf):
        (tmp_path / "cert.crt").write_text(bundle)
        assert_identity_of(tmp_path, "leaf.crt")
    (tmp_path / "cert.crt").write_text(leaf)
    assert refusal(tmp_path) == (
        "cert.crt: issued by another CA than ca.crt, or an intermediate certificate is "
        "missing in it")


def test_name_constraints_of_an_intermediate_hold(tmp_path):
    openssl_ca(tmp_path)
    openssl_key(tmp_path, "middle.key")
    openssl_key(tmp_path, "key.pem")
    for permitted, accepted in (("fuse", True), ("example", False)):
        openssl_sign(tmp_path, "middle.key", "middle.crt", "ca",
                     more=f"nameConstraints = critical, permitted;DNS:{permitted}\n")
        openssl_sign(tmp_path, "key.pem", "leaf.crt", "leaf", ca="middle")
        (tmp_path / "cert.crt").write_text((tmp_path / "leaf.crt").read_text() +
                                           (tmp_path / "middle.crt").read_text())
        if accepted:
            assert_identity(tmp_path)
        else:
            assert refusal(tmp_path) == (
                "cert.crt: not meant for a node (key usage, CA flag or an unknown critical "
                "extension)")


def assert_identity_of(directory, certificate):
    """Of a cert.crt that does not begin with the leaf."""
    assert show(directory)["hash"] == spki_hash(directory, certificate).hex()


def test_openssl_with_text_around_the_pem(tmp_path):
    openssl_node(tmp_path)
    text = run("openssl", "x509", "-in", "cert.crt", "-text", cwd=tmp_path).stdout
    (tmp_path / "cert.crt").write_text("Bag Attributes\n" + text)
    assert_identity(tmp_path)


# certtool

def certtool_key(directory, name, kind="ed25519"):
    run("certtool", "--generate-privkey", f"--key-type={kind}", "--no-text", "--outfile", name,
        cwd=directory)


def certtool_ca(directory, kind="ed25519"):
    certtool_key(directory, "ca.key", kind)
    (directory / "ca.tmpl").write_text(CERTTOOL_CA)
    run("certtool", "--generate-self-signed", "--load-privkey", "ca.key", "--template", "ca.tmpl",
        "--outfile", "ca.crt", cwd=directory)


def certtool_sign(directory, key, out, template, ca="ca"):
    (directory / "x.tmpl").write_text(template)
    run("certtool", "--generate-certificate", "--load-privkey", key, "--load-ca-certificate",
        f"{ca}.crt", "--load-ca-privkey", f"{ca}.key", "--template", "x.tmpl", "--outfile", out,
        cwd=directory)


def certtool_node(directory, template=CERTTOOL_LEAF):
    certtool_ca(directory)
    certtool_key(directory, "key.pem")
    certtool_sign(directory, "key.pem", "cert.crt", template)


def test_certtool_with_an_ed25519_ca(tmp_path):
    certtool_node(tmp_path)
    assert_identity(tmp_path)


def test_certtool_with_an_rsa_ca_and_an_intermediate(tmp_path):
    certtool_ca(tmp_path, "rsa")
    certtool_key(tmp_path, "middle.key", "ecdsa")
    certtool_sign(tmp_path, "middle.key", "middle.crt",
                  'cn = middle\nexpiration_days = 60\nca\ncert_signing_key\n')
    certtool_key(tmp_path, "key.pem")
    certtool_sign(tmp_path, "key.pem", "leaf.crt", CERTTOOL_LEAF, ca="middle")
    (tmp_path / "cert.crt").write_text((tmp_path / "leaf.crt").read_text() +
                                       (tmp_path / "middle.crt").read_text())
    assert_identity(tmp_path)


def test_certtool_without_an_end(tmp_path):
    """99991231235959Z: no well-defined expiration (RFC 5280 4.1.2.5)."""
    certtool_node(tmp_path, CERTTOOL_LEAF.replace("= 30", "= -1"))
    (tmp_path / "ca.tmpl").write_text(CERTTOOL_CA.replace("= 300", "= -1"))
    run("certtool", "--generate-self-signed", "--load-privkey", "ca.key", "--template", "ca.tmpl",
        "--outfile", "ca.crt", cwd=tmp_path)
    assert assert_identity(tmp_path)["days_left"] > 20000


def test_certtool_writes_its_comments_into_the_key(tmp_path):
    certtool_node(tmp_path)
    text = run("certtool", "--key-info", "--infile", "key.pem", cwd=tmp_path).stdout
    (tmp_path / "key.pem").write_text(text)
    assert_identity(tmp_path)


# our own

def own_node(directory, *args):
    qanat("ca", "init", "--dir", "ca", "--name", "home", cwd=directory)
    qanat("keygen", "--dir", "node", "--csr", cwd=directory)
    return qanat("ca", "sign", "--ca-dir", "ca", *args, cwd=directory)


def test_our_files_are_whole_and_private(tmp_path):
    own_node(tmp_path, "--key", "node/key.pem", "--name", "alice")
    assert sorted(p.name for p in (tmp_path / "ca").iterdir()) == ["ca.crt", "ca.key"]
    assert sorted(p.name for p in (tmp_path / "node").iterdir()) == [
        "ca.crt", "cert.crt", "key.pem", "node.csr"]
    for folder in ("ca", "node"):
        assert mode(tmp_path / folder) == 0o700
    for secret in ("ca/ca.key", "node/key.pem"):
        assert mode(tmp_path / secret) == 0o600
    for public in ("ca/ca.crt", "node/ca.crt", "node/cert.crt", "node/node.csr"):
        assert mode(tmp_path / public) == 0o644
    facts = assert_identity(tmp_path / "node")
    assert facts["days_left"] == 89 or facts["days_left"] == 90


def test_our_folders_are_private_down_the_path(tmp_path):
    qanat("keygen", "--dir", "a/b/c", cwd=tmp_path)
    for folder in ("a", "a/b", "a/b/c"):
        assert mode(tmp_path / folder) == 0o700


def test_other_tools_take_what_we_make(tmp_path):
    own_node(tmp_path, "--key", "node/key.pem", "--name", "alice")
    verified = run("openssl", "verify", "-x509_strict", "-CAfile", "ca/ca.crt", "node/cert.crt",
                   cwd=tmp_path)
    assert verified.stdout == "node/cert.crt: OK\n"
    run("certtool", "--verify", "--load-ca-certificate", "ca/ca.crt", "--infile", "node/cert.crt",
        cwd=tmp_path)
    ours = run("openssl", "pkey", "-in", "node/key.pem", "-pubout", cwd=tmp_path).stdout
    theirs = run("openssl", "x509", "-in", "node/cert.crt", "-noout", "-pubkey",
                 cwd=tmp_path).stdout
    assert ours == theirs
    run("openssl", "req", "-in", "node/node.csr", "-verify", "-noout", cwd=tmp_path)
    text = run("openssl", "x509", "-in", "node/cert.crt", "-noout", "-text", cwd=tmp_path).stdout
    for line in ("CA:FALSE", "Digital Signature", "DNS:alice.fuse",
                 "TLS Web Server Authentication, TLS Web Client Authentication"):
        assert line in text


def test_the_three_sources_of_a_key_give_one_identity(tmp_path):
    own_node(tmp_path, "--key", "node/key.pem", "--name", "alice")
    run("openssl", "pkey", "-in", "node/key.pem", "-pubout", "-out", "node/pub.pem", cwd=tmp_path)
    first = show(tmp_path / "node")
    for source in ("--csr=node/node.csr", "--pub=node/pub.pem"):
        qanat("ca", "sign", "--ca-dir", "ca", source, "--name", "bob.fuse", "--force",
              cwd=tmp_path)
        again = show(tmp_path / "node")
        assert again["hash"] == first["hash"]
        assert again["names"] == ["bob.fuse"]


def test_we_sign_what_openssl_and_certtool_ask_for(tmp_path):
    qanat("ca", "init", "--dir", "ca", cwd=tmp_path)
    node = tmp_path / "node"
    node.mkdir()
    openssl_key(node, "key.pem")
    run("openssl", "req", "-new", "-key", "key.pem", "-subj", "/CN=x", "-out", "x.csr", cwd=node)
    qanat("ca", "sign", "--ca-dir", "ca", "--csr", "node/x.csr", cwd=tmp_path)
    assert_identity(node, names=())
    certtool_key(node, "key2.pem")
    (node / "key2.pem").rename(node / "key.pem")
    qanat("ca", "sign", "--ca-dir", "ca", "--key", "node/key.pem", "--force", cwd=tmp_path)
    assert_identity(node, names=())


def test_a_ca_of_another_tool_can_sign(tmp_path):
    for kind in ("ed25519", "p256", "rsa2048"):
        ca = tmp_path / kind
        ca.mkdir()
        openssl_ca(ca, kind)
        qanat("keygen", "--dir", "node", cwd=ca)
        qanat("ca", "sign", "--key", "node/key.pem", "--name", "alice", cwd=ca)
        assert_identity(ca / "node")


def test_a_certificate_does_not_outlive_its_ca(tmp_path):
    qanat("ca", "init", "--dir", "ca", "--days", 10, cwd=tmp_path)
    qanat("keygen", "--dir", "node", cwd=tmp_path)
    qanat("ca", "sign", "--ca-dir", "ca", "--key", "node/key.pem", "--days", 1000, cwd=tmp_path)
    assert show(tmp_path / "node")["days_left"] in (9, 10)


def test_the_text_says_who_the_node_is(tmp_path):
    done = own_node(tmp_path, "--key", "node/key.pem", "--name", "alice", "--name", "web")
    facts = show(tmp_path / "node")
    until = run("date", "-u", "-d", f"@{facts['not_after_s']}", "+%F", cwd=tmp_path).stdout.strip()
    since = run("date", "-u", "-d", f"@{facts['not_before_s']}", "+%F", cwd=tmp_path).stdout.strip()
    assert done.stdout.splitlines() == [
        f"node     {facts['address']}   {facts['id']}",
        "name     alice.fuse",
        "name     web.fuse",
        f"valid    until {until}",
        "cert     node/cert.crt",
        "ca       node/ca.crt",
    ]
    for verb in (("cert", "show"), ("cert", "check"), ("check",)):
        *said, valid = qanat(*verb, "node", cwd=tmp_path).stdout.splitlines()
        assert said == [
            f"node     {facts['address']}   {facts['id']}",
            "name     alice.fuse",
            "name     web.fuse",
            f"cluster  {facts['cluster']}",
        ]
        # Signed for 90 days a moment ago: a second may pass between the runs.
        days = valid.removeprefix(f"valid    {since} to {until}   (").removesuffix(" days left)")
        assert days in ("89", "90")


def test_nothing_is_replaced_without_force(tmp_path):
    own_node(tmp_path, "--key", "node/key.pem")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for args, path in (
        (("ca", "init", "--dir", "ca"), "ca/ca.crt"),
        (("keygen", "--dir", "node"), "node/key.pem"),
        (("keygen", "--dir", "node", "--csr"), "node/node.csr"),
        (("ca", "sign", "--ca-dir", "ca", "--key", "node/key.pem"), "node/cert.crt"),
    ):
        done = qanat(*args, cwd=tmp_path, code=1)
        assert done.stderr == f"qanat: {path}: exists. Add --force to replace it\n"
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    (tmp_path / "ca" / "ca.crt").unlink()
    done = qanat("ca", "init", "--dir", "ca", cwd=tmp_path, code=1)
    assert done.stderr == "qanat: ca/ca.key: exists. Add --force to replace it\n"
    assert not (tmp_path / "ca" / "ca.crt").exists()
    qanat("ca", "init", "--dir", "ca", "--force", cwd=tmp_path)
    qanat("keygen", "--dir", "node", "--csr", "--force", cwd=tmp_path)
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for name in ("ca/ca.key", "ca/ca.crt", "node/key.pem", "node/node.csr"):
        assert after[tmp_path / name] != before[tmp_path / name]
    assert after.keys() == before.keys()


def test_the_ca_of_a_node_is_not_touched(tmp_path):
    own_node(tmp_path, "--key", "node/key.pem")
    (tmp_path / "node" / "ca.crt").write_text("mine\n")
    qanat("ca", "sign", "--ca-dir", "ca", "--key", "node/key.pem", "--force", cwd=tmp_path)
    assert (tmp_path / "node" / "ca.crt").read_text() == "mine\n"


def test_out_names_the_one_file_to_write(tmp_path):
    own_node(tmp_path, "--key", "node/key.pem", "--out", "new/x.crt")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.crt"]
    assert not (tmp_path / "node" / "cert.crt").exists()


def test_a_file_in_place_of_a_folder_is_told(tmp_path):
    (tmp_path / "node").write_text("")
    done = qanat("keygen", "--dir", "node", cwd=tmp_path, code=1)
    assert done.stderr == "qanat: node/key.pem: Not a directory\n"


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    done = subprocess.run(["sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$@"', "sh", str(QANAT),
                           "keygen", "--dir", "node"], cwd=tmp_path, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "qanat: node/key.pem: File too large\n"
    assert list((tmp_path / "node").iterdir()) == []


# wrong use: exit code 2

def test_wrong_use_is_told(tmp_path):
    own_node(tmp_path, "--key", "node/key.pem")
    sign = ("ca", "sign", "--ca-dir", "ca")
    for args, want in (
        (("ca", "init", "--days", "0"), '"0" is no number of days from 1 to 36500'),
        (("ca", "init", "--days", "x"), '"x" is no number of days from 1 to 36500'),
        (("ca", "init", "--name", ""), "--name: 1 to 64 printable characters"),
        (("ca", "init", "extra"), 'what is "extra"? See: qanat ca --help'),
        (("keygen", "extra"), 'what is "extra"? See: qanat keygen --help'),
        (("keygen", "--name", "a_b"),
         "\"a_b\" is no short name: up to 63 of a-z, 0-9 and '-' inside, and not 16 or 52 "
         "digits as in an id"),
        (sign, "name the node's key: --key, --csr or --pub"),
        ((*sign, "--key", "a", "--csr", "b"), "only one of --key, --csr and --pub can be used"),
        ((*sign, "--key", "node/key.pem", *("--name", "a") * 5), "--name: at most 4 of them"),
        ((*sign, "--key", "node/key.pem", "--name", "aaaaaaaaaaaaaaaa"),
         "\"aaaaaaaaaaaaaaaa\" is no short name: up to 63 of a-z, 0-9 and '-' inside, and not "
         "16 or 52 digits as in an id"),
    ):
        done = qanat(*args, cwd=tmp_path, code=2)
        assert done.stderr == f"qanat: {want}\n"
        assert done.stdout == ""
    for args in (("ca",), ("ca", "x"), ("cert",), ("cert", "show", "a", "b"), ("keygen", "--x")):
        assert qanat(*args, cwd=tmp_path, code=2).stderr != ""
    for args in (("ca", "--help"), ("ca", "init", "--help"), ("ca", "sign", "-h"),
                 ("keygen", "--help"), ("cert", "--help"), ("cert", "show", "--help")):
        done = qanat(*args, cwd=tmp_path)
        assert done.stdout.startswith("usage: qanat ")
        assert done.stderr == ""


# bad input: exit code 1, and the message

def test_signing_tells_what_is_wrong_with_its_files(tmp_path):
    own_node(tmp_path, "--key", "node/key.pem")
    openssl_key(tmp_path, "rsa.pem", "rsa2048")
    run("openssl", "pkey", "-in", "rsa.pem", "-pubout", "-out", "rsa.pub", cwd=tmp_path)
    run("openssl", "req", "-new", "-key", "rsa.pem", "-subj", "/CN=x", "-out", "rsa.csr",
        cwd=tmp_path)
    forged = (tmp_path / "node" / "node.csr").read_text().splitlines()
    forged[-2] = base64.b64encode(bytes(len(base64.b64decode(forged[-2])))).decode()
    (tmp_path / "forged.csr").write_text("\n".join(forged) + "\n")
    (tmp_path / "open.pem").write_text((tmp_path / "node" / "key.pem").read_text())
    (tmp_path / "open.pem").chmod(0o644)
    os.symlink("node/key.pem", tmp_path / "link.pem")
    for args, want in (
        (("--key", "none.pem"), "none.pem: no such file"),
        (("--key", "open.pem"),
         "open.pem: readable by group or others. Run: chmod 600 open.pem"),
        (("--key", "link.pem"), "link.pem: a symbolic link. Name the file itself"),
        (("--key", "rsa.pem"),
         "rsa.pem: not an Ed25519 key in PEM (PKCS#8, without a password)"),
        (("--csr", "rsa.csr"), "rsa.csr: not a valid request for an Ed25519 key in PEM"),
        (("--csr", "forged.csr"), "forged.csr: not a valid request for an Ed25519 key in PEM"),
        (("--csr", "ca/ca.crt"), "ca/ca.crt: not a valid request for an Ed25519 key in PEM"),
        (("--pub", "rsa.pub"), "rsa.pub: not an Ed25519 public key in PEM"),
    ):
        done = qanat("ca", "sign", "--ca-dir", "ca", *args, "--out", "x.crt", cwd=tmp_path, code=1)
        assert done.stderr == f"qanat: {want}\n"
        assert not (tmp_path / "x.crt").exists()


def test_signing_tells_what_is_wrong_with_the_ca(tmp_path):
    own_node(tmp_path, "--key", "node/key.pem")
    ca = tmp_path / "ca"
    good = {name: (ca / name).read_text() for name in ("ca.crt", "ca.key")}

    def refused():
        done = qanat("ca", "sign", "--ca-dir", "ca", "--key", "node/key.pem", "--force",
                     cwd=tmp_path, code=1)
        for name, text in good.items():
            (ca / name).write_text(text)
            (ca / name).chmod(0o600)
        return done.stderr.removeprefix("qanat: ca/").removesuffix("\n")

    (ca / "ca.key").chmod(0o640)
    assert refused() == "ca.key: readable by group or others. Run: chmod 600 ca/ca.key"
    (ca / "ca.key").unlink()
    assert refused() == "ca.key: no such file"
    (ca / "ca.crt").unlink()
    assert refused() == "ca.crt: no such file"
    (ca / "ca.crt").write_text("hello\n")
    assert refused() == "ca.crt: not a certificate in PEM"
    (ca / "ca.key").write_text("hello\n")
    assert refused() == "ca.key: not a key in PEM"
    (ca / "ca.key").write_text((tmp_path / "node" / "key.pem").read_text())
    assert refused() == "ca.key: not the key of ca/ca.crt"
    (ca / "ca.crt").write_text((tmp_path / "node" / "cert.crt").read_text())
    (ca / "ca.key").write_text((tmp_path / "node" / "key.pem").read_text())
    assert refused() == ("ca.crt: not a CA certificate with an Ed25519, P-256 or RSA key "
                         "(2048 bits or more)")


def test_a_ca_out_of_date_does_not_sign(tmp_path):
    certtool_key(tmp_path, "ca.key")
    (tmp_path / "ca.tmpl").write_text(
        'cn = old\nactivation_date = "2020-01-01 00:00:00 UTC"\n'
        'expiration_date = "2021-01-01 00:00:00 UTC"\nca\ncert_signing_key\n')
    run("certtool", "--generate-self-signed", "--load-privkey", "ca.key", "--template", "ca.tmpl",
        "--outfile", "ca.crt", cwd=tmp_path)
    qanat("keygen", "--dir", "node", cwd=tmp_path)
    done = qanat("ca", "sign", "--key", "node/key.pem", cwd=tmp_path, code=1)
    assert done.stderr == "qanat: ca.crt: expired 2021-01-01\n"
    assert not (tmp_path / "node" / "cert.crt").exists()


def test_a_certificate_of_another_ca_is_told(tmp_path):
    openssl_node(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    want = ("cert.crt: issued by another CA than ca.crt, or an intermediate certificate is "
            "missing in it")
    for cn in ("another cluster", "a cluster"):
        openssl_ca(other, cn=cn)
        (tmp_path / "ca.crt").write_text((other / "ca.crt").read_text())
        assert refusal(tmp_path) == want


def test_an_expired_certificate_is_told(tmp_path):
    certtool_node(tmp_path, CERTTOOL_LEAF.replace(
        "expiration_days = 30", 'activation_date = "2020-01-01 00:00:00 UTC"\n'
        'expiration_date = "2020-11-19 23:30:00 UTC"'))
    assert refusal(tmp_path) == "cert.crt: expired 2020-11-19"


def test_a_certificate_of_the_future_is_told(tmp_path):
    certtool_node(tmp_path, CERTTOOL_LEAF.replace(
        "expiration_days = 30", 'activation_date = "2101-02-03 04:05:00 UTC"\n'
        'expiration_date = "2102-01-01 00:00:00 UTC"'))
    assert refusal(tmp_path) == "cert.crt: not valid before 2101-02-03 04:05 UTC"


def test_a_certificate_for_another_key_is_told(tmp_path):
    openssl_node(tmp_path)
    openssl_key(tmp_path, "key.pem")
    assert refusal(tmp_path) == "cert.crt: no certificate for the key in key.pem"


def test_a_key_that_others_can_read_is_told(tmp_path):
    openssl_node(tmp_path)
    (tmp_path / "key.pem").chmod(0o644)
    assert refusal(tmp_path) == (
        f"key.pem: readable by group or others (mode 0644). Run: chmod 600 {tmp_path}/key.pem")


def test_a_key_behind_a_password_is_told(tmp_path):
    openssl_node(tmp_path)
    run("openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", "-out",
        "key.pem", cwd=tmp_path)
    assert refusal(tmp_path) == "key.pem: not an Ed25519 key in PEM (PKCS#8, without a password)"


def test_a_node_key_of_another_kind_is_told(tmp_path):
    openssl_node(tmp_path)
    openssl_key(tmp_path, "key.pem", "p256")
    assert refusal(tmp_path) == "key.pem: not an Ed25519 key in PEM (PKCS#8, without a password)"


def test_a_missing_file_is_told(tmp_path):
    openssl_node(tmp_path)
    for name in ("cert.crt", "key.pem", "ca.crt"):
        (tmp_path / name).unlink()
        assert refusal(tmp_path) == f"{name}: no such file"


def test_weak_and_foreign_anchors_are_told(tmp_path):
    want = "ca.crt: not a CA certificate with an Ed25519, P-256 or RSA key (2048 bits or more)"
    for kind in ("rsa1024", "p384"):
        node = tmp_path / kind
        node.mkdir()
        openssl_node(node, kind)
        assert refusal(node) == want


def test_a_server_only_certificate_is_told(tmp_path):
    certtool_node(tmp_path, CERTTOOL_LEAF.replace("tls_www_client\n", ""))
    assert refusal(tmp_path) == (
        "cert.crt: not meant for a node (key usage, CA flag or an unknown critical extension)")


def test_a_sha1_signature_is_told(tmp_path):
    openssl_ca(tmp_path, "rsa2048")
    openssl_key(tmp_path, "key.pem")
    openssl_sign(tmp_path, "key.pem", "cert.crt", "leaf", digest="-sha1")
    assert refusal(tmp_path) == "cert.crt: signed with MD5, SHA-1 or RSA under 2048 bits"
