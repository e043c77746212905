#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "proto/base/mem.h"
#include "proto/cert.h"
#include "proto/key.h"
#include "proto/x509.h"

/* Where the parts are, and where the message of a failure goes. */
struct place {
	const char *dir;
	int64_t now_s;
	char *why;
	size_t why_cap;
};

static void file_path(char out[PATH_MAX], const struct place *p,
		      const char *file)
{
	snprintf(out, PATH_MAX, "%s/%s", p->dir, file);
}

/* "DIR/FILE: what is wrong" */
static int __attribute__((format(printf, 4, 5)))
fail(const struct place *p, int rv, const char *file, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	snprintf(p->why, p->why_cap, "%s/%s: %s", p->dir, file, text);
	return rv;
}

static int fail_errno(const struct place *p, int rv, const char *file)
{
	if (rv == -ENOENT)
		return fail(p, rv, file, "no such file");
	return fail(p, rv, file, "%s", strerror(-rv));
}

static unsigned file_mode(const struct place *p, const char *file)
{
	char path[PATH_MAX];
	struct stat st;

	file_path(path, p, file);
	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static int load_trust(struct credentials *c, const struct place *p)
{
	char path[PATH_MAX];
	int rv;

	file_path(path, p, "ca.crt");
	rv = trust_load(&c->trust, path);
	switch (rv) {
	case 0:
		return 0;
	case -EINVAL:
		return fail(p, rv, "ca.crt", "no PEM certificate in it");
	case -E2BIG:
		return fail(p, rv, "ca.crt",
			    "more than one certificate in it. "
			    "Leave only the root's");
	case -EKEYREJECTED:
		return fail(p, rv, "ca.crt",
			    "not a CA certificate with an Ed25519, P-256 or "
			    "RSA key (2048 bits or more)");
	default:
		return fail_errno(p, rv, "ca.crt");
	}
}

static int load_key(struct credentials *c, const struct place *p)
{
	char path[PATH_MAX];
	int rv;

	file_path(path, p, "key.pem");
	c->key = mem_new(c->key);
	rv = sign_key_load(c->key, path);
	switch (rv) {
	case 0:
		return 0;
	case -EPERM:
		return fail(p, rv, "key.pem",
			    "readable by group or others (mode %04o). "
			    "Run: chmod 600 %s",
			    file_mode(p, "key.pem"), path);
	case -ELOOP:
		return fail(p, rv, "key.pem",
			    "a symbolic link. Put the file itself there");
	case -EINVAL:
		return fail(p, rv, "key.pem",
			    "not an Ed25519 key in PEM (PKCS#8, "
			    "without a password)");
	default:
		return fail_errno(p, rv, "key.pem");
	}
}

static int load_chain(struct credentials *c, const struct place *p)
{
	char path[PATH_MAX];
	int rv;

	file_path(path, p, "cert.crt");
	rv = chain_load(c->chain, sizeof c->chain, &c->chain_len, path,
			&c->key->public, c->trust);
	switch (rv) {
	case 0:
		return 0;
	case -EINVAL:
		return fail(p, rv, "cert.crt", "no PEM certificate in it");
	case -EKEYREJECTED:
		return fail(p, rv, "cert.crt",
			    "no certificate for the key in key.pem");
	case -E2BIG:
		return fail(p, rv, "cert.crt",
			    "chain too long: at most %d certificates and %d "
			    "bytes",
			    CHAIN_CERTS_MAX, CHAIN_BYTES_MAX);
	default:
		return fail_errno(p, rv, "cert.crt");
	}
}

/* "expired 2026-11-19", in UTC. */
static int fail_time(const struct place *p, enum cert_verdict v,
		     const char *file, int64_t not_before_s,
		     int64_t not_after_s)
{
	bool early = v == CERT_NOT_YET_VALID;
	time_t at = early ? not_before_s : not_after_s;
	char date[32] = "?";
	struct tm tm;

	if (gmtime_r(&at, &tm) != NULL)
		strftime(date, sizeof date, early ? "%F %H:%M UTC" : "%F", &tm);
	return fail(p, -EKEYEXPIRED, file, "%s %s",
		    early ? "not valid before" : "expired", date);
}

static int fail_verdict(const struct place *p, enum cert_verdict v)
{
	switch (v) {
	case CERT_NOT_OURS:
		return fail(p, -EKEYREJECTED, "cert.crt",
			    "issued by another CA than ca.crt, or an "
			    "intermediate certificate is missing in it");
	case CERT_USAGE:
		return fail(p, -EKEYREJECTED, "cert.crt",
			    "not meant for a node (key usage, CA flag or an "
			    "unknown critical extension)");
	case CERT_WEAK:
		return fail(p, -EKEYREJECTED, "cert.crt",
			    "signed with MD5, SHA-1 or RSA under 2048 bits");
	default:
		return fail(p, -EKEYREJECTED, "cert.crt", "%s",
			    cert_verdict_text(v));
	}
}

static int check_self(struct credentials *c, const struct place *p)
{
	const struct x509 *ca = &c->trust->ca;
	enum cert_verdict v;

	v = cert_check_timeless(c->trust, c->chain, c->chain_len, &c->self);
	if (v != CERT_OK)
		return fail_verdict(p, v);
	v = cert_check_time(ca->not_before_s, ca->not_after_s, p->now_s);
	if (v != CERT_OK)
		return fail_time(p, v, "ca.crt", ca->not_before_s,
				 ca->not_after_s);
	v = cert_check_time(c->self.not_before_s, c->self.not_after_s,
			    p->now_s);
	if (v != CERT_OK)
		return fail_time(p, v, "cert.crt", c->self.not_before_s,
				 c->self.not_after_s);
	return 0;
}

/* Who can write here can put another key in our place. */
static int check_dir(const struct place *p)
{
	struct stat st;

	if (strlen(p->dir) + sizeof "/cert.crt" > PATH_MAX) {
		snprintf(p->why, p->why_cap, "path too long");
		return -ENAMETOOLONG;
	}
	if (stat(p->dir, &st) < 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return 0;
	snprintf(p->why, p->why_cap,
		 "%s: writable by group or others (mode %04o). "
		 "Run: chmod go-w %s",
		 p->dir, st.st_mode & 07777u, p->dir);
	return -EPERM;
}

int credentials_load(struct credentials *out, const char *dir, int64_t now_s,
		     char *why, size_t why_cap)
{
	const struct place p = { dir, now_s, why, why_cap };
	struct credentials c = { 0 };
	int rv;

	rv = check_dir(&p);
	if (rv == 0)
		rv = load_trust(&c, &p);
	if (rv == 0)
		rv = load_key(&c, &p);
	if (rv == 0)
		rv = load_chain(&c, &p);
	if (rv == 0)
		rv = check_self(&c, &p);
	if (rv < 0) {
		credentials_deinit(&c);
		return rv;
	}
	c.net = addr_net(trust_hash(c.trust));
	*out = c;
	return 0;
}

void credentials_deinit(struct credentials *c)
{
	trust_free(c->trust);
	if (c->key != NULL) {
		sign_key_wipe(c->key);
		free(c->key);
	}
	*c = (struct credentials){ 0 };
}
