/* SPDX-License-Identifier: LGPL-2.1-only */
/* The hash chain and its moving key: pure functions.  chain.h has the definition. */
#include "policy/audit/chain.h"

#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

static const char prev_part[] = ",\"prev\":\"";
static const char mac_part[] = "\",\"mac\":\"";
static const char line_end[] = "\"}";

#define HEX_LEN 64
#define LEN(literal) (sizeof(literal) - 1)
/* ,"prev":"HEX","mac":"HEX"} */
#define CHAIN_LEN (LEN(prev_part) + HEX_LEN + LEN(mac_part) + HEX_LEN + LEN(line_end))

void audit_hex(const uint8_t bytes[32], char hex[AUDIT_HEX_SIZE])
{
    sodium_bin2hex(hex, AUDIT_HEX_SIZE, bytes, 32);
}

bool audit_unhex(const char *hex, size_t len, uint8_t bytes[32])
{
    if (len != HEX_LEN)
        return false;
    for (size_t i = 0; i < len; i++) {
        /* one spelling only: upper case would be a second line with the same meaning */
        if (!(hex[i] >= '0' && hex[i] <= '9') && !(hex[i] >= 'a' && hex[i] <= 'f'))
            return false;
    }
    return sodium_hex2bin(bytes, 32, hex, len, NULL, NULL, NULL) == 0;
}

void audit_mac(const uint8_t key[AUDIT_KEY_SIZE], const char *body, size_t len, uint8_t mac[32])
{
    crypto_generichash(mac, 32, (const unsigned char *)body, len, key, AUDIT_KEY_SIZE);
}

void audit_hash(const char *line, size_t len, uint8_t hash[AUDIT_HASH_SIZE])
{
    crypto_generichash(hash, AUDIT_HASH_SIZE, (const unsigned char *)line, len, NULL, 0);
}

void audit_next_key(uint8_t key[AUDIT_KEY_SIZE])
{
    static const char label[] = "moat audit key";
    uint8_t in[LEN(label) + AUDIT_KEY_SIZE];

    memcpy(in, label, LEN(label));
    memcpy(in + LEN(label), key, AUDIT_KEY_SIZE);
    crypto_generichash(key, AUDIT_KEY_SIZE, in, sizeof(in), NULL, 0);
    sodium_memzero(in, sizeof(in));
}

/* The decimal number after {"seq": up to ','.  0 is no sequence number. */
static uint64_t get_sequence(const char *line, size_t len)
{
    static const char start[] = "{\"seq\":";
    uint64_t n = 0;
    size_t i;

    if (len < LEN(start) || memcmp(line, start, LEN(start)) != 0)
        return 0;
    for (i = LEN(start); i < len && line[i] >= '0' && line[i] <= '9'; i++) {
        if (i == LEN(start) && line[i] == '0')
            return 0;
        if (n > (UINT64_MAX - 9) / 10)
            return 0;
        n = n * 10 + (uint64_t)(line[i] - '0');
    }
    return i < len && line[i] == ',' ? n : 0;
}

const char *audit_split(const char *line, size_t len, struct audit_line *l)
{
    const char *chain = line + len - CHAIN_LEN;
    const char *mac;

    if (len >= AUDIT_LINE_MAX)
        return "the line is longer than any that the recorder writes";
    for (size_t i = 0; i < len; i++) {
        if (line[i] < ' ' || line[i] > '~')
            return "the line has a byte that the recorder never writes";
    }
    l->sequence = get_sequence(line, len);
    if (!l->sequence)
        return "the line does not begin with {\"seq\":NUMBER,";
    if (len <= CHAIN_LEN)
        return "the line is too short";
    mac = chain + LEN(prev_part) + HEX_LEN;
    if (memcmp(chain, prev_part, LEN(prev_part)) != 0 ||
        memcmp(mac, mac_part, LEN(mac_part)) != 0 ||
        memcmp(line + len - LEN(line_end), line_end, LEN(line_end)) != 0 ||
        !audit_unhex(chain + LEN(prev_part), HEX_LEN, l->prev) ||
        !audit_unhex(mac + LEN(mac_part), HEX_LEN, l->mac))
        return "the line does not end with \"prev\" and \"mac\" as the recorder writes them";
    l->body_len = (size_t)(mac + 1 - line);
    audit_hash(line, len, l->hash);
    return NULL;
}

const char *audit_follows(const struct audit_state *s, const char *line, const struct audit_line *l,
                          bool with_key)
{
    uint8_t mac[32];

    if (l->sequence != s->sequence + 1)
        return "its sequence number does not follow: lines are missing, swapped or added";
    if (memcmp(l->prev, s->hash, AUDIT_HASH_SIZE) != 0)
        return "it does not carry the hash of the line before it: one of the two was changed, or "
               "the line before it was replaced";
    if (!with_key)
        return NULL;
    audit_mac(s->key, line, l->body_len, mac);
    if (sodium_memcmp(mac, l->mac, sizeof(mac)) != 0)
        return "its MAC does not fit the key: it was changed or written by somebody without the "
               "key, or the key is another log's";
    return NULL;
}

void audit_advance(struct audit_state *s, const struct audit_line *l, bool with_key)
{
    s->sequence = l->sequence;
    memcpy(s->hash, l->hash, AUDIT_HASH_SIZE);
    if (with_key)
        audit_next_key(s->key);
}

int audit_make_line(const struct audit_state *s, const char *members, char *buf,
                    struct audit_line *l)
{
    char hex[AUDIT_HEX_SIZE];
    uint8_t mac[32];
    int len, n;

    audit_hex(s->hash, hex);
    len = snprintf(buf, AUDIT_LINE_MAX, "{\"seq\":%llu,%s%s%s",
                   (unsigned long long)s->sequence + 1, members, prev_part, hex);
    if (len < 0 || len >= AUDIT_LINE_MAX - 1)
        return -EINVAL;
    buf[len++] = '"';
    audit_mac(s->key, buf, (size_t)len, mac);
    audit_hex(mac, hex);
    n = snprintf(buf + len, AUDIT_LINE_MAX - (size_t)len, "%s%s%s\n", mac_part + 1, hex, line_end);
    if (n < 0 || n >= AUDIT_LINE_MAX - len)
        return -EINVAL;
    len += n;
    /* what cannot be read back must not be written */
    if (audit_split(buf, (size_t)len - 1, l))
        return -EINVAL;
    return len;
}

/* ---- state */

struct slot {
    char magic[16];
    uint64_t sequence;      /* little-endian */
    uint8_t key[AUDIT_KEY_SIZE];
    uint8_t hash[AUDIT_HASH_SIZE];
    uint8_t check[32];      /* BLAKE2b-256 of what is before it */
} __attribute__((packed));

static const char slot_magic[16] = "moat-audit-st-1";

void audit_put_state(const struct audit_state *s, uint8_t slot[AUDIT_SLOT_SIZE])
{
    struct slot *out = (struct slot *)slot;

    memset(slot, 0, AUDIT_SLOT_SIZE);
    memcpy(out->magic, slot_magic, sizeof(slot_magic));
    out->sequence = htole64(s->sequence);
    memcpy(out->key, s->key, AUDIT_KEY_SIZE);
    memcpy(out->hash, s->hash, AUDIT_HASH_SIZE);
    audit_hash((const char *)slot, offsetof(struct slot, check), out->check);
}

static bool get_slot(const uint8_t *slot, unsigned i, struct audit_state *s)
{
    const struct slot *in = (const struct slot *)slot;
    uint8_t check[32];

    audit_hash((const char *)slot, offsetof(struct slot, check), check);
    if (memcmp(in->magic, slot_magic, sizeof(slot_magic)) != 0 ||
        memcmp(in->check, check, sizeof(check)) != 0 || (le64toh(in->sequence) & 1) != i)
        return false;
    s->sequence = le64toh(in->sequence);
    memcpy(s->key, in->key, AUDIT_KEY_SIZE);
    memcpy(s->hash, in->hash, AUDIT_HASH_SIZE);
    return true;
}

bool audit_get_state(const uint8_t *file, size_t len, struct audit_state *s)
{
    struct audit_state other;
    bool even, odd;

    if (len != AUDIT_STATE_SIZE)
        return false;
    even = get_slot(file, 0, s);
    odd = get_slot(file + AUDIT_SLOT_SIZE, 1, &other);
    if (odd && (!even || other.sequence > s->sequence))
        *s = other;
    sodium_memzero(&other, sizeof(other));
    return even || odd;
}

/* ---- time */

void audit_time(const struct timespec *t, char text[64])
{
    long long days = t->tv_sec / 86400;
    unsigned rest = (unsigned)(t->tv_sec % 86400);
    long long era, year;
    unsigned day, month;

    if (t->tv_sec < 0) {
        snprintf(text, 64, "1970-01-01T00:00:00.000Z");
        return;
    }
    /* years begin in March here, so that the leap day is the last of a year; eras have 400 years */
    days += 719468;
    era = days / 146097;
    day = (unsigned)(days % 146097);
    year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= (unsigned)(365 * year + year / 4 - year / 100);
    month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5;
    month = month < 10 ? month + 3 : month - 9;
    year += era * 400 + (month <= 2);
    snprintf(text, 64, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year % 10000, month,
             day + 1, rest / 3600, rest / 60 % 60, rest % 60,
             (unsigned)t->tv_nsec / 1000000 % 1000);
}
