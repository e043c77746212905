"""What `make` does anew.  Needs no root and no network."""

import subprocess

from netlab import BUILD, REPO


def commands(*argv):
    """What make would run, and does not."""
    make = ["make", "-n", f"MODE={BUILD.name}", *argv]
    return subprocess.run(make, cwd=REPO, check=True, capture_output=True, text=True).stdout.splitlines()


def test_a_new_version_compiles_one_object():
    assert BUILD.parent == REPO / "build", f"not of this Makefile: {BUILD}"
    compiled = [c.split()[-3:-1] for c in commands("VERSION=another", "all") if " -c -o " in c]
    assert compiled == [["-o", f"build/{BUILD.name}/gen/version.o"]]
