/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The chain, as pure functions: what a line's hash and MAC cover, how the key moves, what a state
 * slot looks like.  doc/audit-format.md says the same for readers who write their own verifier.
 *
 *   line n     = BODY_n MACPART "\n"
 *   BODY_n     = {"seq":n, ... ,"prev":"HASH_{n-1}"         from '{' to the quote after prev's hex
 *   MACPART    = ,"mac":"MAC_n"}
 *   MAC_n      = BLAKE2b-256, keyed with K_{n-1}, over BODY_n as written
 *   HASH_n     = BLAKE2b-256 over BODY_n MACPART (the whole line without its newline)
 *   HASH_0     = 32 zero bytes
 *   K_{n+1}    = BLAKE2b-256 over "moat audit key" (14 bytes) and K_n (32 bytes)
 *
 * The hash covers the MAC too, so that no byte of the log can change without the key unnoticed.
 */
#ifndef MOAT_AUDIT_CHAIN_H
#define MOAT_AUDIT_CHAIN_H

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "policy/audit/audit.h"

#define AUDIT_HEX_SIZE 65       /* 32 bytes in hex and a NUL */

/* The state file has two slots of this size; line n's state is in slot n & 1, the other is zero.
 * A slot is on pages of its own, so that a torn write cannot hurt its neighbour. */
#define AUDIT_SLOT_SIZE 4096
#define AUDIT_STATE_SIZE (2 * AUDIT_SLOT_SIZE)

/* Hexadecimal of 32 bytes, lower case; and back: false unless exactly 64 such digits. */
void audit_hex(const uint8_t bytes[32], char hex[AUDIT_HEX_SIZE]);
bool audit_unhex(const char *hex, size_t len, uint8_t bytes[32]);

void audit_mac(const uint8_t key[AUDIT_KEY_SIZE], const char *body, size_t len, uint8_t mac[32]);
void audit_hash(const char *line, size_t len, uint8_t hash[AUDIT_HASH_SIZE]);

/* K_n becomes K_{n+1}; no copy of K_n stays behind. */
void audit_next_key(uint8_t key[AUDIT_KEY_SIZE]);

/* The parts of one line (without newline) that the chain knows. */
struct audit_line {
    uint64_t sequence;
    uint8_t prev[AUDIT_HASH_SIZE];
    uint8_t mac[32];
    uint8_t hash[AUDIT_HASH_SIZE];
    size_t body_len;
};

/* Takes a line apart and hashes it.  NULL, or what is wrong with its form. */
const char *audit_split(const char *line, size_t len, struct audit_line *l);

/* Does the line follow the state?  NULL, or what does not fit.  with_key: check the MAC as well. */
const char *audit_follows(const struct audit_state *s, const char *line, const struct audit_line *l,
                          bool with_key);

/* The state after this line. */
void audit_advance(struct audit_state *s, const struct audit_line *l, bool with_key);

/* Makes line s->sequence + 1 of members (as audit_format() gives them; may be empty) in
 * buf[AUDIT_LINE_MAX], with newline.  Length or -EINVAL.  *l is what audit_split() would say. */
int audit_make_line(const struct audit_state *s, const char *members, char *buf,
                    struct audit_line *l);

/* One slot: encode, and decode of a whole state file (the newest valid slot; false = none). */
void audit_put_state(const struct audit_state *s, uint8_t slot[AUDIT_SLOT_SIZE]);
bool audit_get_state(const uint8_t *file, size_t len, struct audit_state *s);

/* "2026-01-31T23:59:59.999Z".  Not gmtime_r(): libc would open the time zone's file for it. */
void audit_time(const struct timespec *t, char text[64]);

/* Verification of the first size bytes of an open log; what audit_verify() does after it has found
 * and read the state.  state: NULL = not to be had; key: K_0 or NULL.  0, 1 or -errno. */
int audit_verify_stream(FILE *f, uint64_t size, const struct audit_state *state, const uint8_t *key,
                        struct audit_report *report);

#endif
