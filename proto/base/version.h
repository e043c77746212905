/* Which version of qanat this is: what git calls the commit, or the number of
 * the release.  Its one object is made by the Makefile. */
#pragma once

extern const char qanat_version[];
