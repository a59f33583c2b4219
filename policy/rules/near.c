/* SPDX-License-Identifier: LGPL-2.1-only */
/* "Did you mean ...": the nearest valid word by edit distance. */
#include <string.h>

#include "policy/rules/parse.h"

#define NEAR_MAX 32

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;

    return m < c ? m : c;
}

/* Edit distance, or NEAR_MAX for words that are too long to be a slip of one of ours. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NEAR_MAX + 1];
    size_t na = strlen(a), nb = strlen(b);

    if (na > NEAR_MAX || nb > NEAR_MAX)
        return NEAR_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned above = row[j];

            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[nb];
}

const char *rules_nearest(const char *word, const char *const *words, size_t n)
{
    const char *best = NULL;
    unsigned best_distance = 4;

    for (size_t i = 0; i < n; i++) {
        unsigned d = distance(word, words[i]);

        /* more than half of a word changed is another word, not a slip */
        if (d < best_distance && d * 2 <= strlen(words[i])) {
            best = words[i];
            best_distance = d;
        }
    }
    return best;
}
