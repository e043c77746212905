/* `qanat ca sign`. */
#pragma once

int ca_sign(int argc, char **argv, const char *usage);
