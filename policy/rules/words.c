/* SPDX-License-Identifier: LGPL-2.1-only */
/* The words of ops.def and their bits. */
#include "policy/rules/rules.h"

#include <string.h>

static const struct op_word {
    uint32_t bit;
    const char *word;
} op_words[] = {
#define OPERATION(NAME, bit, word, doc) { OP_##NAME, word },
#include "policy/rules/ops.def"
#undef OPERATION
};

#define OP_WORDS (sizeof(op_words) / sizeof(op_words[0]))

const char *rules_op_word(uint32_t op)
{
    for (size_t i = 0; i < OP_WORDS; i++) {
        if (op_words[i].bit == op)
            return op_words[i].word;
    }
    return NULL;
}

uint32_t rules_op_bit(const char *word)
{
    for (size_t i = 0; i < OP_WORDS; i++) {
        if (strcmp(op_words[i].word, word) == 0)
            return op_words[i].bit;
    }
    return 0;
}
