/* SPDX-License-Identifier: LGPL-2.1-only */
/* Each kind of record as its line says it; hostile text cannot leave its string. */
#include "tests/unit/audit/audit_fixture.h"

static void expect(const struct msg_RECORD *r, const char *members)
{
    char buf[AUDIT_LINE_MAX];
    int len = audit_format(r, buf, sizeof(buf));

    assert_true(len > 0);
    assert_int_equal(strlen(buf), len);
    assert_string_equal(buf, members);
}

#define PEER "\"uid\":1000,\"gid\":100,\"gids\":[100,27],\"loginuid\":1000,\"pid\":4321,"
#define INTENT "\"intent\":{\"kind\":\"save\",\"flags\":[\"checkpoint\",\"live\"]," \
    "\"deadline\":600,\"target\":0,\"asked\":\"web1\"},"
#define DOMAIN "\"domid\":5,\"handle\":\"abababab-abab-abab-abab-abababababab\",\"name\":\"web1\","

static void each_kind_has_its_members(void **state)
{
    struct msg_RECORD r;

    record_fill(&r, RECORD_BEGIN, "");
    expect(&r, "\"what\":\"begin\"," PEER INTENT DOMAIN "\"rule\":12,\"job\":7");
    record_fill(&r, RECORD_DENIED, "no rule");
    r.job = 0;
    r.line = 0;
    r.domid = UINT32_MAX;
    r.loginuid = UINT32_MAX;
    expect(&r, "\"what\":\"denied\",\"uid\":1000,\"gid\":100,\"gids\":[100,27],\"loginuid\":null,"
           "\"pid\":4321," INTENT "\"rule\":0,\"message\":\"no rule\"");
    record_fill(&r, RECORD_ACT, "");
    expect(&r, "\"what\":\"act\",\"job\":7,\"act\":\"suspend\",\"domid\":5,\"handle\":"
           "\"abababab-abab-abab-abab-abababababab\",\"name\":\"web1\"");
    record_fill(&r, RECORD_NOTE, "cancel");
    memset(r.refused, 0, sizeof(r.refused));
    expect(&r, "\"what\":\"note\"," PEER INTENT DOMAIN "\"message\":\"cancel\"");    /* whose */
    record_fill(&r, RECORD_NOTE, "started");
    memset(r.refused, 0, sizeof(r.refused));
    r.uid = UINT32_MAX;
    expect(&r, "\"what\":\"note\",\"message\":\"started\"");
    r.refused[4 * REFUSED_XENSTORE] = 3;    /* how many, where the note is about refusals */
    expect(&r, "\"what\":\"note\",\"message\":\"started\",\"refused\":{\"xenstore path\":3}");
}

static void an_end_tells_how_it_ended(void **state)
{
    struct msg_RECORD r;

    record_fill(&r, RECORD_END, "well");
    r.executed[0] = 9;      /* no row: index 0 */
    r.executed[4 * 63] = 2; /* no row has this number */
    r.executed[4 * 63 + 3] = 1;
    expect(&r, "\"what\":\"end\",\"job\":7," DOMAIN "\"cause\":\"done\",\"exit_code\":0,\"rc\":0,"
           "\"errno\":0,\"worker\":{\"exit\":0},\"saw\":[\"suspend\",\"death\"],"
           "\"message\":\"well\",\"executed\":{\"NO_ROW\":9,\"GETDOMAININFO\":3,\"63\":16777218},"
           "\"refused\":{\"wrong domid\":1}");
    record_fill(&r, RECORD_END, "");
    memset(r.executed, 0, sizeof(r.executed));
    memset(r.refused, 0, sizeof(r.refused));
    r.cause = CAUSE_WORKER_DIED;
    r.exit_code = 4;
    r.rc = -3;
    r.errnum = 28;
    r.worker_status = 31;   /* SIGSYS */
    r.saw = 0;
    r.domid = UINT32_MAX;
    expect(&r, "\"what\":\"end\",\"job\":7,\"cause\":\"worker-died\",\"exit_code\":4,\"rc\":-3,"
           "\"errno\":28,\"worker\":{\"signal\":31},\"saw\":[],\"executed\":{},\"refused\":{}");
    r.worker_status = -1;
    r.cause = 4711;
    r.saw = 0x80000010;
    expect(&r, "\"what\":\"end\",\"job\":7,\"cause\":4711,\"exit_code\":4,\"rc\":-3,"
           "\"errno\":28,\"worker\":null,\"saw\":[\"death\",\"0x80000000\"],\"executed\":{},"
           "\"refused\":{}");
}

static void every_cause_has_a_word(void **state)
{
    struct msg_RECORD r;
    char buf[AUDIT_LINE_MAX];

    for (uint32_t i = 0; i < CAUSES; i++) {
        record_fill(&r, RECORD_END, "");
        r.cause = i;
        assert_true(audit_format(&r, buf, sizeof(buf)) > 0);
        assert_non_null(strstr(buf, "\"cause\":\""));
    }
}

static void hostile_text_stays_in_its_string(void **state)
{
    struct msg_RECORD r;
    char buf[AUDIT_LINE_MAX];

    record_fill(&r, RECORD_NOTE, "a\",\"what\":\"end\"}\n{\\\x7f\xff\x1b[2J");
    r.uid = UINT32_MAX;
    memset(r.refused, 0, sizeof(r.refused));
    expect(&r, "\"what\":\"note\",\"message\":\"a\\u0022,\\u0022what\\u0022:\\u0022end\\u0022}"
           "\\u000a{\\u005c\\u007f\\u00ff\\u001b[2J\"");
    /* fields without a NUL end where they end */
    memset(&r, 0xff, sizeof(r));
    for (uint32_t what = RECORD_BEGIN; what <= RECORD_NOTE; what++) {
        r.what = what;
        assert_true(audit_format(&r, buf, sizeof(buf)) > 0);
    }
}

/* The worst record of each kind, with the chain's own members around it, is one line. */
static void the_longest_record_fits_a_line(void **state)
{
    struct audit_state s = { .sequence = UINT64_MAX - 10 };
    struct msg_RECORD r;
    char members[AUDIT_LINE_MAX], line[AUDIT_LINE_MAX];
    struct audit_line l;

    assert_true(sodium_init() >= 0);
    memset(&r, 0xff, sizeof(r));
    r.domid = r.loginuid = UINT32_MAX - 1;
    for (uint32_t what = RECORD_BEGIN; what <= RECORD_NOTE; what++) {
        r.what = what;
        /* room for time, mono_ns and boot */
        assert_true(audit_format(&r, members, sizeof(members) - 160) > 0);
        s.sequence = UINT64_MAX / 10 - 2;
        assert_true(audit_make_line(&s, members, line, &l) > 0);
    }
}

static void what_does_not_fit_is_an_error(void **state)
{
    struct msg_RECORD r;
    char buf[AUDIT_LINE_MAX];
    int len;

    record_fill(&r, RECORD_BEGIN, "x");
    len = audit_format(&r, buf, sizeof(buf));
    for (int size = 0; size <= len; size++)
        assert_int_equal(audit_format(&r, buf, (size_t)size), -EINVAL);
    assert_int_equal(audit_format(&r, buf, (size_t)len + 1), len);
    r.what = 0;
    assert_int_equal(audit_format(&r, buf, sizeof(buf)), -EINVAL);
    r.what = RECORD_NOTE + 1;
    assert_int_equal(audit_format(&r, buf, sizeof(buf)), -EINVAL);
}

static void times_are_utc_by_the_calendar(void **state)
{
    static const struct {
        time_t sec;
        const char *text;
    } t[] = {
        { 0, "1970-01-01T00:00:00.007Z" },
        { 951782399, "2000-02-28T23:59:59.007Z" },
        { 951782400, "2000-02-29T00:00:00.007Z" },
        { 951868800, "2000-03-01T00:00:00.007Z" },
        { 1709251199, "2024-02-29T23:59:59.007Z" },
        { 1767225599, "2025-12-31T23:59:59.007Z" },
        { 4107542400, "2100-03-01T00:00:00.007Z" },
    };
    char text[64], libc[64];

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct timespec ts = { .tv_sec = t[i].sec, .tv_nsec = 7999999 };

        audit_time(&ts, text);
        assert_string_equal(text, t[i].text);
    }
    for (time_t sec = 0; sec < 253402300800; sec += 86400 * 13 + 4567) {
        struct timespec ts = { .tv_sec = sec };
        struct tm tm;

        audit_time(&ts, text);
        strftime(libc, sizeof(libc), "%Y-%m-%dT%H:%M:%S.000Z", gmtime_r(&sec, &tm));
        assert_string_equal(text, libc);
    }
}

static void the_chain_is_the_documented_one(void **state)
{
    struct audit_state s = { .sequence = 0 };
    char line[AUDIT_LINE_MAX], hex[AUDIT_HEX_SIZE];
    uint8_t in[46] = "moat audit key", out[32];
    struct audit_line l;
    int len = audit_make_line(&s, "\"what\":\"note\"", line, &l);

    assert_int_equal(len, strlen(line));
    assert_ptr_equal(strstr(line, "{\"seq\":1,\"what\":\"note\",\"prev\":\"0000"), line);
    /* MAC: from '{' to the quote after prev's hex */
    assert_int_equal(l.body_len, strlen("{\"seq\":1,\"what\":\"note\",\"prev\":\"\"") + 64);
    crypto_generichash(out, 32, (uint8_t *)line, l.body_len, s.key, 32);
    audit_hex(out, hex);
    assert_memory_equal(line + l.body_len, ",\"mac\":\"", 8);
    assert_memory_equal(line + l.body_len + 8, hex, 64);
    assert_string_equal(line + l.body_len + 72, "\"}\n");
    /* hash: the whole line without its newline */
    crypto_generichash(out, 32, (uint8_t *)line, (size_t)len - 1, NULL, 0);
    audit_advance(&s, &l, true);
    assert_memory_equal(s.hash, out, 32);
    /* key: "moat audit key" and the key before */
    crypto_generichash(out, 32, in, sizeof(in), NULL, 0);
    assert_memory_equal(s.key, out, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_members),
        cmocka_unit_test(an_end_tells_how_it_ended),
        cmocka_unit_test(every_cause_has_a_word),
        cmocka_unit_test(hostile_text_stays_in_its_string),
        cmocka_unit_test(the_longest_record_fits_a_line),
        cmocka_unit_test(what_does_not_fit_is_an_error),
        cmocka_unit_test(times_are_utc_by_the_calendar),
        cmocka_unit_test(the_chain_is_the_documented_one),
    };

    return cmocka_run_group_tests_name("audit: lines", tests, NULL, NULL);
}
