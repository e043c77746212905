/* The verbs of `qanat`.  argv[0] is the verb itself, the rest is its own.
 * What they return is the exit code: 0 done, 1 the answer is no, 2 wrong use.
 */
#pragma once

int cmd_ca(int argc, char **argv);
int cmd_keygen(int argc, char **argv);
int cmd_cert(int argc, char **argv); /* "check" is "cert show" */
