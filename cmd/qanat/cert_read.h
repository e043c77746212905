/* Reading what a certificate is made from: the CA, and a node's public key. */
#pragma once

#include "cmd/qanat/cert_make.h"
#include "proto/id.h"

/* 0, -errno, -EINVAL (no such thing in the file), -EKEYREJECTED (the key is
 * not the certificate's).  On failure `culprit` is the path that is to blame.
 */
int issuer_load(struct issuer *out, const char *crt_path, const char *key_path,
		const char **culprit);
void issuer_deinit(struct issuer *ca);

/* The Ed25519 key in a request or a public key file: 0, -errno, -EINVAL. */
int request_load(struct node_key *out, const char *path);
int public_load(struct node_key *out, const char *path);
