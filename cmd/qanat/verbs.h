/* The verbs of `qanat`.  argv[0] is the verb itself, the rest is its own.
 * What they return is the exit code: 0 done, 1 the answer is no, 2 wrong use
 * or no daemon.
 */
#pragma once

int cmd_ca(int argc, char **argv);
int cmd_keygen(int argc, char **argv);
int cmd_cert(int argc, char **argv); /* "check DIR" is "cert show DIR" */

int cmd_check(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_reload(int argc, char **argv);

int cmd_status(int argc, char **argv);
int cmd_peers(int argc, char **argv);
int cmd_links(int argc, char **argv);
int cmd_routes(int argc, char **argv);
int cmd_circuits(int argc, char **argv);
int cmd_trees(int argc, char **argv);
int cmd_path(int argc, char **argv);
int cmd_ping(int argc, char **argv);
int cmd_trace(int argc, char **argv);
