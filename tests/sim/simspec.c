/* SPDX-License-Identifier: LGPL-2.1-only */
/* Descriptions of simulated domains: "name=web,domid=1,type=pvh,mem=64,dirty=2000". */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/simhost.h"

static const char *const behaviours[BEHAVIOURS] = {
    "normal", "ignore", "stall", "die", "crash", "reuse",
};

#define NUMBER(word, field, low, high) { word, offsetof(struct sim_spec, field), low, high }
static const struct {
    const char *word;
    size_t at;
    uint32_t low, high;
} numbers[] = {
    NUMBER("domid", domid, 1, 0x7fef),
    NUMBER("mem", mem, 4, 3584),
    NUMBER("vcpus", vcpus, 1, SIM_VCPUS),
    NUMBER("fill", fill, 0, 100),
    NUMBER("dirty", dirty, 0, 10000000),
    NUMBER("ack-ms", ack_ms, 0, 3600000),
    NUMBER("suspend-ms", suspend_ms, 0, 3600000),
    NUMBER("balloon", balloon, 0, 100000),
    NUMBER("vnuma", vnuma, 0, 1),
    NUMBER("pci", pci, 0, 1),
    NUMBER("9pfs", ninepfs, 0, 1),
    NUMBER("dm", dm, 0, 1),
    NUMBER("sum", sum, 0, 1),
};

const char *behaviour_word(unsigned b)
{
    return b < BEHAVIOURS ? behaviours[b] : "?";
}

int behaviour_parse(const char *word)
{
    for (int i = 0; i < BEHAVIOURS; i++)
        if (!strcmp(word, behaviours[i]))
            return i;
    return -EINVAL;
}

void uuid_text(const uint8_t u[16], char out[37])
{
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
             u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
             u[15]);
}

int uuid_parse(const char *text, uint8_t uuid[16])
{
    unsigned n = 0;

    for (; n < 16; n++, text += 2) {
        char digits[3] = { 0 };

        if (*text == '-')
            text++;
        memcpy(digits, text, strnlen(text, 2));
        if (strspn(digits, "0123456789abcdefABCDEF") != 2)
            return -EINVAL;
        uuid[n] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return *text ? -EINVAL : 0;
}

static int parse_type(const char *value)
{
    if (!strcmp(value, "pvh"))
        return SIM_PVH;
    if (!strcmp(value, "pv"))
        return SIM_PV;
    return !strcmp(value, "hvm") ? SIM_HVM : -EINVAL;
}

static int parse_number(struct sim_spec *s, const char *word, const char *value)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char *end;
        unsigned long n;
        uint32_t n32;

        if (strcmp(word, numbers[i].word))
            continue;
        errno = 0;
        n = strtoul(value, &end, 10);
        if (errno || end == value || *end || n < numbers[i].low || n > numbers[i].high)
            return -EINVAL;
        n32 = (uint32_t)n;
        memcpy((char *)s + numbers[i].at, &n32, sizeof(n32));
        return 0;
    }
    return -EINVAL;
}

static int parse_one(struct sim_spec *s, const char *word, const char *value)
{
    int n;

    if (!strcmp(word, "name")) {
        if (!*value || strlen(value) >= sizeof(s->name))
            return -EINVAL;
        memset(s->name, 0, sizeof(s->name));
        memcpy(s->name, value, strlen(value));
        return 0;
    }
    if (!strcmp(word, "uuid")) {
        s->has_uuid = true;
        return uuid_parse(value, s->uuid);
    }
    if (!strcmp(word, "type") || !strcmp(word, "behave")) {
        n = *word == 't' ? parse_type(value) : behaviour_parse(value);
        if (n < 0)
            return n;
        *(*word == 't' ? &s->type : &s->behave) = (uint32_t)n;
        return 0;
    }
    return parse_number(s, word, value);
}

int spec_parse(struct sim_spec *s, const char *text, const char **why)
{
    static char wrong[160];
    char copy[512], *save = NULL;

    *why = wrong;
    if (strlen(text) >= sizeof(copy)) {
        snprintf(wrong, sizeof(wrong), "description of a domain is too long");
        return -EINVAL;
    }
    memcpy(copy, text, strlen(text) + 1);
    for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        char *value = strchr(w, '=');

        if (value)
            *value++ = 0;
        if (!value || parse_one(s, w, value)) {
            snprintf(wrong, sizeof(wrong), "%s: unknown word or value out of range", w);
            return -EINVAL;
        }
    }
    if (!s->name[0] || !s->domid || !s->type) {
        snprintf(wrong, sizeof(wrong), "a domain needs name, domid and type");
        return -EINVAL;
    }
    return 0;
}
