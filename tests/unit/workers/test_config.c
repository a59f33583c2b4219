/* SPDX-License-Identifier: LGPL-2.1-only */
/* The configuration in an image: what is changed, how it is laid out, what is refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/workers/fixture.h"
#include "workers/save/config.h"

#define NOTHING { .weight = -1, .cap = -1, .period = -1, .budget = -1 }

/* Makes the configuration and compares; NULL = must be refused. */
static int make(const char *text, size_t len, const struct config_values *v, const char *expected)
{
    char *json = NULL, why[128] = "";
    uint32_t json_len = 0;
    int rc = config_make(text, len, v, &json, &json_len, why);

    if (!expected) {
        assert_true(rc < 0);
        assert_true(strlen(why) > 10);
        return rc;
    }
    if (rc)
        fail_msg("refused: %s", why);
    assert_string_equal(json, expected);
    assert_int_equal(json_len, strlen(expected) + 1);
    free(json);
    return 0;
}

static void layout_is_yajls(void **state)
{
    struct config_values v = NOTHING;
    const char *text = "{\"c_info\":{},\"b_info\":{\"a\":[],\"b\":[1,-2,18446744073709551615],"
                       "\"c\":null,\"d\":true,\"e\":1.50,\"f\":{\"g\":[[]]}}}";

    make(text, strlen(text), &v,
         "{\n"
         "    \"c_info\": {\n"
         "\n"
         "    },\n"
         "    \"b_info\": {\n"
         "        \"a\": [\n"
         "\n"
         "        ],\n"
         "        \"b\": [\n"
         "            1,\n"
         "            -2,\n"
         "            18446744073709551615\n"
         "        ],\n"
         "        \"c\": null,\n"
         "        \"d\": true,\n"
         "        \"e\": 1.50,\n"
         "        \"f\": {\n"
         "            \"g\": [\n"
         "                [\n"
         "\n"
         "                ]\n"
         "            ]\n"
         "        }\n"
         "    }\n"
         "}\n");
}

static void strings_are_escaped_as_yajl_does(void **state)
{
    struct config_values v = NOTHING;
    const char *text = "{\"c_info\":{\"n\\n\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u00e9 "
                       "/x\"},"
                       "\"b_info\":{}}";

    make(text, strlen(text), &v,
         "{\n    \"c_info\": {\n        \"n\\n\": "
         "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001F\xc3\xa9 /x\"\n    },\n"
         "    \"b_info\": {\n\n    }\n}\n");
}

/* What libxl wrote comes out again as it was, when nothing has to change. */
static void libxls_own_layout_is_a_fixed_point(void **state)
{
    static const char *const files[] = { "pv", "pvh" };

    for (unsigned i = 0; i < 2; i++) {
        struct fixture f = fixture("%s-userdata.json", files[i]);
        struct config_values v = NOTHING;

        v.keep_domid = true;
        v.domid = 4294967295u;      /* what these files have */
        make(f.text, f.len, &v, f.text);
        free(f.text);
    }
}

#define HEAD "{\n    \"c_info\": {\n        \"uuid\": \"u\""
static void domid_is_dropped_or_kept(void **state)
{
    const char *with = "{\"c_info\":{\"uuid\":\"u\",\"domid\":4294967295,\"x\":1},\"b_info\":{}}";
    const char *without = "{\"c_info\":{\"uuid\":\"u\",\"x\":1},\"b_info\":{}}";
    const char *tail = ",\n        \"x\": 1\n    },\n    \"b_info\": {\n\n    }\n}\n";
    struct config_values v = NOTHING;
    char expected[256];

    v.domid = 12;
    snprintf(expected, sizeof(expected), HEAD "%s", tail);
    make(with, strlen(with), &v, expected);
    make(without, strlen(without), &v, expected);
    v.keep_domid = true;            /* -D: the domid that it has now, where libxl writes it */
    snprintf(expected, sizeof(expected), HEAD ",\n        \"domid\": 12%s", tail);
    make(with, strlen(with), &v, expected);
    make(without, strlen(without), &v, expected);
}

static void target_is_xenstores_plus_video_memory(void **state)
{
    const char *text = "{\"c_info\":{},\"b_info\":{\"max_memkb\":9,\"target_memkb\":8,"
                       "\"video_memkb\":3}}";
    const char *none = "{\"c_info\":{},\"b_info\":{\"max_memkb\":9,\"video_memkb\":3}}";
    struct config_values v = NOTHING;
    char expected[256];

    snprintf(expected, sizeof(expected),
             "{\n    \"c_info\": {\n\n    },\n    \"b_info\": {\n        \"max_memkb\": 9,\n"
             "        \"target_memkb\": %d,\n        \"video_memkb\": 3\n    }\n}\n", 103);
    v.target_kb = 100;
    make(text, strlen(text), &v, expected);
    make(none, strlen(none), &v, expected);     /* inserted where libxl writes it */
}

static void sched_params_are_todays(void **state)
{
    const char *text = "{\"c_info\":{},\"b_info\":{"
                       "\"sched_params\":{\"sched\":\"credit\",\"weight\":1},"
                       "\"z\":1}}";
    struct config_values v = NOTHING;

    v.sched = "rtds";
    v.period = 10000;
    v.budget = 4000;
    make(text, strlen(text), &v,
         "{\n    \"c_info\": {\n\n    },\n    \"b_info\": {\n        \"sched_params\": {\n"
         "            \"sched\": \"rtds\",\n            \"period\": 10000,\n"
         "            \"budget\": 4000\n        },\n        \"z\": 1\n    }\n}\n");
    v = (struct config_values)NOTHING;
    v.sched = "null";
    make(text, strlen(text), &v,
         "{\n    \"c_info\": {\n\n    },\n    \"b_info\": {\n        \"sched_params\": {\n"
         "            \"sched\": \"null\"\n        },\n        \"z\": 1\n    }\n}\n");
}

static void what_is_no_configuration_is_refused(void **state)
{
    static const char *const bad[] = {
        "", " ", "{", "[]", "1", "null", "\"x\"", "{}", "{\"c_info\":{}}", "{\"b_info\":{}}",
        "{\"c_info\":1,\"b_info\":{}}", "{\"c_info\":{},\"b_info\":[]}",
        "{\"c_info\":{},\"b_info\":{}} x", "{\"c_info\":{},\"b_info\":{}}{}",
        "{\"c_info\":{},\"b_info\":{}", "{\"c_info\":{},\"b_info\":{\"a\":}}",
        "{\"c_info\":{},\"b_info\":{\"a\":1,}}", "{\"c_info\":{},\"b_info\":{}/**/}",
        "{\"c_info\":{},\"b_info\":{\"a\":NaN}}", "{\"c_info\":{},\"b_info\":{\"a\":-Infinity}}",
    };
    struct config_values v = NOTHING;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(make(bad[i], strlen(bad[i]), &v, NULL), -EINVAL);
    assert_int_equal(make("{\"c_info\":{},\"b_info\":{}\0}", 27, &v, NULL), -EINVAL);
}

static void depth_and_size_are_bounded(void **state)
{
    struct config_values v = NOTHING;
    char *text = malloc(CONFIG_MAX + 16);
    size_t n;

    assert_non_null(text);
    n = sprintf(text, "{\"c_info\":{},\"b_info\":{\"a\":");
    memset(text + n, '[', 1000);
    memset(text + n + 1000, ']', 1000);
    strcpy(text + n + 2000, "}}");
    assert_int_equal(make(text, strlen(text), &v, NULL), -EINVAL);

    assert_int_equal(make(text, CONFIG_MAX + 1, &v, NULL), -E2BIG);
    /* Short as it is, each [] becomes three lines: the result is bounded as well. */
    n = sprintf(text, "{\"c_info\":{},\"b_info\":{\"a\":[[]");
    while (n < CONFIG_MAX / 3)
        n += sprintf(text + n, ",[]");
    n += sprintf(text + n, "]}}");
    assert_int_equal(make(text, n, &v, NULL), -E2BIG);
    free(text);
}

static void the_file_is_read_whole_or_not_at_all(void **state)
{
    int fd = memfd_create("userdata", MFD_CLOEXEC);
    char *text = NULL, why[128];
    size_t len = 0;

    assert_true(fd >= 0);
    assert_int_equal(config_read(fd, &text, &len, why), -ENODATA);
    assert_int_equal(ftruncate(fd, CONFIG_MAX), 0);
    assert_int_equal(lseek(fd, 77, SEEK_SET), 77);      /* where the offset is does not matter */
    assert_int_equal(config_read(fd, &text, &len, why), 0);
    assert_int_equal(len, CONFIG_MAX);
    free(text);
    assert_int_equal(ftruncate(fd, CONFIG_MAX + 1), 0);
    assert_int_equal(config_read(fd, &text, &len, why), -E2BIG);
    assert_non_null(strstr(why, "1 MiB"));
    close(fd);
    assert_int_equal(config_read(-1, &text, &len, why), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_is_yajls),
        cmocka_unit_test(strings_are_escaped_as_yajl_does),
        cmocka_unit_test(libxls_own_layout_is_a_fixed_point),
        cmocka_unit_test(domid_is_dropped_or_kept),
        cmocka_unit_test(target_is_xenstores_plus_video_memory),
        cmocka_unit_test(sched_params_are_todays),
        cmocka_unit_test(what_is_no_configuration_is_refused),
        cmocka_unit_test(depth_and_size_are_bounded),
        cmocka_unit_test(the_file_is_read_whole_or_not_at_all),
    };

    return cmocka_run_group_tests_name("workers/config", tests, NULL, NULL);
}
