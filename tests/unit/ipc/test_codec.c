/* SPDX-License-Identifier: LGPL-2.1-only */
/* Every message survives the wire; nothing that is not one does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/codec.h"

static uint8_t wire[IPC_FRAME_MAX];
static uint8_t data[61440];

/* Fills every field with a value that its type allows; `full`: as long as it may be. */
static void fill(const struct ipc_message *m, void *msg, bool full)
{
    memset(msg, 0, m->struct_size);
    for (const struct ipc_field *f = m->fields; f->type != FIELD_END; f++) {
        char *p = (char *)msg + f->offset;

        if (f->type == FIELD_TEXT)
            memset(p, 'a', full ? f->size - 1 : 3);
        else if (f->type == FIELD_STR)
            memset(p, 'b', full ? f->size : 1);
        else if (f->type == FIELD_BYTES)
            *(struct ipc_bytes *)(void *)p = (struct ipc_bytes){data, full ? f->size : 0};
        else
            memset(p, 0xa5, f->size);
    }
}

static void assert_same(const struct ipc_message *m, const void *a, const void *b)
{
    for (const struct ipc_field *f = m->fields; f->type != FIELD_END; f++) {
        const char *p = (const char *)a + f->offset, *q = (const char *)b + f->offset;

        if (f->type == FIELD_BYTES) {
            const struct ipc_bytes *x = (const void *)p, *y = (const void *)q;

            assert_int_equal(x->len, y->len);
            assert_memory_equal(x->p, y->p, x->len);
        } else {
            assert_memory_equal(p, q, f->size);
        }
    }
}

static void test_every_message_round_trips(void **state)
{
    unsigned n;
    const struct ipc_message *m = ipc_messages(&n);
    static uint64_t a[8192], b[8192];

    assert_in_range(n, 30, 200);
    for (unsigned i = 0; i < n; i++)
        for (int full = 0; full < 2; full++) {
            int len;

            assert_true(m[i].struct_size <= sizeof(a));
            fill(&m[i], a, full);
            len = ipc_encode(m[i].type, a, wire, sizeof(wire) - IPC_HEADER_SIZE);
            assert_true(len >= 0);
            assert_int_equal(ipc_decode_buf(&m[i], wire, (size_t)len, b, NULL), 0);
            assert_same(&m[i], a, b);
        }
}

static void test_every_cut_or_lengthened_payload_is_refused(void **state)
{
    unsigned n;
    const struct ipc_message *m = ipc_messages(&n);
    static uint64_t a[8192], b[8192];

    for (unsigned i = 0; i < n; i++) {
        char why[96] = "";
        int len;

        fill(&m[i], a, false);
        len = ipc_encode(m[i].type, a, wire, sizeof(wire));
        for (int cut = 0; cut < len; cut++)
            assert_int_equal(ipc_decode_buf(&m[i], wire, (size_t)cut, b, why), -EPROTO);
        wire[len] = 0;
        assert_int_equal(ipc_decode_buf(&m[i], wire, (size_t)len + 1, b, why), -EPROTO);
        assert_non_null(strstr(why, m[i].name));
    }
}

static void test_message_numbers_are_unique(void **state)
{
    unsigned n;
    const struct ipc_message *m = ipc_messages(&n);

    for (unsigned i = 0; i < n; i++)
        assert_ptr_equal(ipc_message_by_type(m[i].type), &m[i]);
}

static void test_only_the_worker_and_the_warden_send_variable_bytes_to_the_warden(void **state)
{
    unsigned n;
    const struct ipc_message *m = ipc_messages(&n);

    for (unsigned i = 0; i < n; i++)
        for (const struct ipc_field *f = m[i].fields; f->type != FIELD_END; f++)
            if (f->type >= FIELD_STR && m[i].to & (WARDEN | RECORDER | FORKER))
                assert_int_equal(m[i].type, MSG_CALL);
}

static int decode_note(const char *text, size_t len)
{
    const struct ipc_message *m = ipc_message_by_type(MSG_NOTE);
    struct msg_NOTE note;
    uint16_t l = (uint16_t)len;

    memset(wire, 0, 4);
    memcpy(wire + 4, &l, 2);
    memcpy(wire + 6, text, len);
    return ipc_decode_buf(m, wire, 6 + len, &note, NULL);
}

static void test_strings_are_utf8_without_nul(void **state)
{
    assert_int_equal(decode_note("plain", 5), 0);
    assert_int_equal(decode_note("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9), 0);
    assert_int_equal(decode_note("a\0b", 3), -EPROTO);
    assert_int_equal(decode_note("\xc0\xaf", 2), -EPROTO);          /* overlong */
    assert_int_equal(decode_note("\xe0\x80\xaf", 3), -EPROTO);
    assert_int_equal(decode_note("\xed\xa0\x80", 3), -EPROTO);      /* surrogate */
    assert_int_equal(decode_note("\xf4\x90\x80\x80", 4), -EPROTO);  /* beyond U+10FFFF */
    assert_int_equal(decode_note("\xe2\x82", 2), -EPROTO);          /* cut */
    assert_int_equal(decode_note("\x80", 1), -EPROTO);
}

static void test_text_is_printable_and_padded(void **state)
{
    struct msg_RESOLVE r = {.name = "web"};
    const struct ipc_message *m = ipc_message_by_type(MSG_RESOLVE);
    struct msg_RESOLVE out;

    assert_int_equal(ipc_encode(MSG_RESOLVE, &r, wire, sizeof(wire)), 64);
    assert_int_equal(ipc_decode_buf(m, wire, 64, &out, NULL), 0);
    wire[10] = 'x';                                 /* something behind the NUL */
    assert_int_equal(ipc_decode_buf(m, wire, 64, &out, NULL), -EPROTO);
    memset(wire, 'x', 64);                          /* no NUL */
    assert_int_equal(ipc_decode_buf(m, wire, 64, &out, NULL), -EPROTO);
    memset(wire, 0, 64);
    wire[0] = 0x1b;
    assert_int_equal(ipc_decode_buf(m, wire, 64, &out, NULL), -EPROTO);
    strcpy(r.name, "tab\there");
    assert_int_equal(ipc_encode(MSG_RESOLVE, &r, wire, sizeof(wire)), -EINVAL);
    ipc_text(r.name, sizeof(r.name), "tab\there");
    assert_string_equal(r.name, "tab?here");
}

static void test_too_long_a_string_is_refused_on_both_sides(void **state)
{
    struct msg_CALL call = {.arg = {data, 513}};
    char text[600];
    struct msg_NOTE out;
    uint16_t len = 513;

    assert_int_equal(ipc_encode(MSG_CALL, &call, wire, sizeof(wire)), -EINVAL);
    memset(text, 'a', sizeof(text));
    memset(wire, 0, 4);
    memcpy(wire + 4, &len, 2);
    memcpy(wire + 6, text, 513);
    assert_int_equal(ipc_decode_buf(ipc_message_by_type(MSG_NOTE), wire, 519, &out, NULL), -EPROTO);
}

static void test_largest_call_fits_a_frame(void **state)
{
    struct msg_CALL call = {.arg = {data, 512}, .data = {data, sizeof(data)}};

    assert_true(ipc_encode(MSG_CALL, &call, wire, IPC_FRAME_MAX - IPC_HEADER_SIZE) > 0);
}

static void test_print_never_overruns_and_escapes(void **state)
{
    struct msg_NOTE n = {.level = 3, .text = "a\x1b[31m\"b\\"};
    char buf[64], tiny[8];

    assert_string_equal(ipc_print(MSG_NOTE, &n, buf, sizeof(buf)),
                        "NOTE{level=3 text=\"a\\x1b[31m\\x22b\\x5c\"}");
    ipc_print(MSG_NOTE, &n, tiny, sizeof(tiny));
    assert_int_equal(strlen(tiny), sizeof(tiny) - 1);
    assert_string_equal(ipc_print(0xffff, NULL, buf, sizeof(buf)), "unknown message 0xffff");
}

static void test_every_value_has_words(void **state)
{
    for (uint32_t i = 0; i < CAUSES; i++)
        assert_string_not_equal(ipc_cause_words(i), "unknown cause");
    for (uint32_t i = 0; i < ACTS; i++)
        assert_string_not_equal(ipc_act_word(i), "unknown");
    for (uint32_t i = 0; i < REFUSALS; i++)
        assert_string_not_equal(ipc_refusal_word(i), "unknown");
    for (uint32_t i = 0; i <= JOB_ENDING; i++)
        assert_string_not_equal(ipc_state_word(i), "unknown");
    assert_string_equal(ipc_cause_words(1000), "unknown cause");
    assert_int_equal(ipc_cause_exit(CAUSE_WORKER_DIED), EXIT_WORKER_DIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_round_trips),
        cmocka_unit_test(test_every_cut_or_lengthened_payload_is_refused),
        cmocka_unit_test(test_message_numbers_are_unique),
        cmocka_unit_test(test_only_the_worker_and_the_warden_send_variable_bytes_to_the_warden),
        cmocka_unit_test(test_strings_are_utf8_without_nul),
        cmocka_unit_test(test_text_is_printable_and_padded),
        cmocka_unit_test(test_too_long_a_string_is_refused_on_both_sides),
        cmocka_unit_test(test_largest_call_fits_a_frame),
        cmocka_unit_test(test_print_never_overruns_and_escapes),
        cmocka_unit_test(test_every_value_has_words),
    };

    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
