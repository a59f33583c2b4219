/* SPDX-License-Identifier: LGPL-2.1-only */
/* Promises that hold for every row of hypercalls.def, checked row by row. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/warden_call/fake_hv.h"

#define FOR_WORKER_ROWS(row, id) \
    for (unsigned id = 1; id < HV_ROWS; id++) \
        for (const struct hv_rowdef *row = hvrow(id); row && row->jobs & HV_JOB_WORKERS; row = NULL)

static struct good g;

static int setup(void **state)
{
    fake_reset();
    return 0;
}

static void right_call_passes(void **state)
{
    struct msg_CALLED out;
    enum refusal why;

    FOR_WORKER_ROWS(row, id) {
        fake_reset();
        good_call(&g, id);
        if (run(&g, &out, &why))
            fail_msg("%s refused: %d", row->name, why);
        assert_int_equal(fake.calls, 1);
        assert_int_equal(fake.op, row->op);
        assert_int_equal(out.ret, id == HV_GETDOMAININFO ? -1 : 0);  /* the fake names domain 0 */
        assert_int_equal(g.ctx.executed[id], 1);
    }
}

static void only_in_its_job_guest_and_phase(void **state)
{
    struct msg_CALLED out;
    enum refusal why;

    FOR_WORKER_ROWS(row, id) {
        for (unsigned job = 0; job < 16; job++)
            for (unsigned guest = 0; guest < 9; guest++)
                for (unsigned phase = 0; phase < 4; phase++) {
                    bool one_job = job == HV_JOB_COLD || job == HV_JOB_LIVE;
                    bool ok = one_job && row->jobs & job && guest < 8 && row->guests >> guest & 1 &&
                              row->phases & phase;

                    if (job && !one_job)
                        continue;   /* a worker's job is one of the two, or a bug of ours */
                    good_call(&g, id);
                    g.ctx.job = job;
                    g.ctx.guest = guest;
                    g.ctx.phase = phase;
                    if (!ok)
                        assert_refused(&g, REFUSED_NO_ROW);
                    else
                        assert_int_equal(run(&g, &out, &why), 0);
                }
    }
}

static void another_domain_is_refused(void **state)
{
    static const uint16_t others[] = { 0, DOMID - 1, DOMID + 1, 0x7ff0, 0x7ff2, 0x7ff4, 0xffff };
    unsigned seen = 0;

    FOR_WORKER_ROWS(row, id) {
        if (row->domid_at < 0)
            continue;
        seen++;
        for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
            good_call(&g, id);
            put_field(g.arg, row->domid_at, 2, others[i]);
            assert_refused(&g, REFUSED_DOMID);
        }
    }
    assert_true(seen > 10);
}

static void another_version_is_refused(void **state)
{
    FOR_WORKER_ROWS(row, id) {
        if (!row->version)
            continue;
        for (int d = -1; d <= 1; d += 2) {
            good_call(&g, id);
            put_field(g.arg, 4, 4, row->version + d);
            assert_refused(&g, REFUSED_VERSION);
        }
    }
}

static void another_struct_size_is_refused(void **state)
{
    FOR_WORKER_ROWS(row, id) {
        good_call(&g, id);
        g.in.arg.len = row->size + 1;
        assert_refused(&g, REFUSED_SIZE);
        if (!row->size)
            continue;
        good_call(&g, id);
        g.in.arg.len = row->size - 1;
        assert_refused(&g, REFUSED_SIZE);
        good_call(&g, id);
        g.in.arg.len = 0;
        assert_refused(&g, REFUSED_SIZE);
    }
}

static void another_sub_op_is_refused(void **state)
{
    FOR_WORKER_ROWS(row, id) {
        if (row->shape == HV_STRUCT)
            for (unsigned cmd = 0; cmd < 1010; cmd++) {
                if (cmd == row->subop)
                    continue;
                good_call(&g, id);
                put_field(g.arg, 0, 4, cmd);
                assert_refused(&g, REFUSED_NO_ROW);
            }
        for (unsigned i = 0; i < 2; i++) {
            if (!row->fields[i].width)
                continue;
            good_call(&g, id);
            put_field(g.arg, row->fields[i].at, row->fields[i].width, row->fields[i].value + 77);
            assert_refused(&g, REFUSED_NO_ROW);
        }
    }
}

static void a_row_of_another_hypercall_is_refused(void **state)
{
    FOR_WORKER_ROWS(row, id) {
        for (unsigned op = 0; op < 64; op++) {
            if (op == row->op)
                continue;
            good_call(&g, id);
            g.in.op = op;
            assert_refused(&g, REFUSED_NO_ROW);
        }
    }
}

static void rows_of_the_warden_are_no_workers(void **state)
{
    for (unsigned id = 1; id < HV_ROWS; id++) {
        const struct hv_rowdef *row = hvrow(id);

        if (row->jobs & HV_JOB_WORKERS)
            continue;
        for (unsigned job = 0; job < 256; job++) {
            good_call(&g, id);
            g.ctx.job = job & HV_JOB_WORKERS;
            assert_refused(&g, REFUSED_NO_ROW);
        }
    }
}

static void numbers_outside_the_table_are_refused(void **state)
{
    static const uint32_t numbers[] = { 0, HV_ROWS, HV_ROWS + 1, 63, 64, 65, 255, 256, 0x80000000u,
                                        0xffffffffu };

    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        good_call(&g, HV_GETDOMAININFO);
        g.in.row = numbers[i];
        assert_refused(&g, REFUSED_NO_ROW);
    }
}

/* Whatever row a worker claims, Xen is only ever asked for what that row says. */
static void no_sub_op_without_a_row_is_executed(void **state)
{
    static const struct {
        unsigned op, first, last;
    } ops[] = { { 36, 0, 90 }, { 36, 1000, 1003 }, { 35, 0, 40 } };
    struct msg_CALLED out;
    enum refusal why;

    for (unsigned o = 0; o < 3; o++)
        for (unsigned cmd = ops[o].first; cmd <= ops[o].last; cmd++)
            FOR_WORKER_ROWS(row, id) {
                unsigned calls = fake.calls;

                if (row->op != ops[o].op)
                    continue;
                good_call(&g, id);
                put_field(g.arg, 0, 4, cmd);
                run(&g, &out, &why);
                if (fake.calls != calls) {
                    assert_int_equal(cmd, row->subop);
                    assert_int_equal(hvrow_field(fake.arg, 0, 4), row->subop);
                }
            }
}

static void handles_are_replaced_and_stay_inside(void **state)
{
    struct msg_CALLED out;
    enum refusal why;

    FOR_WORKER_ROWS(row, id) {
        uint64_t end = (uintptr_t)hv.bulk;

        good_call(&g, id);
        assert_int_equal(run(&g, &out, &why), 0);
        for (unsigned i = 0; i < HV_HANDLES; i++) {
            uint64_t at;

            if (!row->handles[i].dir)
                continue;
            at = hvrow_handle(row, fake.arg, i);
            assert_true(at >= end);         /* one behind the other, from hv.bulk on */
            assert_true(at < (uintptr_t)hv.bulk + hv.bulk_size);
            end = at + 1;
            if (out.arg.len)
                assert_int_equal(hvrow_handle(row, out.arg.p, i), 0);
        }
    }
}

static void unused_bytes_do_not_travel(void **state)
{
    struct msg_CALLED out;
    enum refusal why;

    FOR_WORKER_ROWS(row, id) {
        good_call(&g, id);
        assert_int_equal(run(&g, &out, &why), 0);
        for (unsigned i = row->used; i < row->size; i++) {
            assert_int_equal(fake.arg[i], 0);
            if (out.arg.len)
                assert_int_equal(out.arg.p[i], 0);
        }
    }
}

static void null_handle_only_where_the_row_has_that_form(void **state)
{
    struct msg_CALLED out;
    enum refusal why;

    FOR_WORKER_ROWS(row, id)
        for (unsigned i = 0; i < HV_HANDLES; i++) {
            if (!row->handles[i].dir)
                continue;
            good_call(&g, id);
            hvrow_set_handle(row, g.arg, i, 0);
            if (!row->handles[i].maybe_null) {
                assert_refused(&g, REFUSED_VALUE);
                continue;
            }
            assert_int_equal(run(&g, &out, &why), 0);
            assert_int_equal(hvrow_handle(row, fake.arg, i), 0);
            assert_int_equal(out.data.len, 0);
        }
}

static void counts_out_of_range_are_refused(void **state)
{
    static const uint64_t extra[] = { 1, 1u << 16, 0x7fffffff, 0xffffffff };

    FOR_WORKER_ROWS(row, id)
        for (unsigned i = 0; i < HV_HANDLES; i++) {
            const struct hv_handle *h = &row->handles[i];
            uint64_t limit;

            if (!h->dir || !h->count_width)
                continue;
            limit = h->bits ? h->bound * 8ull : h->bound / h->unit;
            for (unsigned k = 0; k < 4; k++) {
                uint64_t count = limit + extra[k];

                if (h->count_width == 4 && count > 0xffffffff)
                    count = 0xffffffff;
                good_call(&g, id);
                put_field(g.arg, h->count_at, h->count_width, count);
                g.ctx.limits = (struct hv_limits){ ~0ull, ~0u, ~0u, ~0u, 1ull << 60 };
                assert_refused(&g, REFUSED_SIZE);
            }
            if (h->count_width == 8) {      /* a product that wraps around */
                good_call(&g, id);
                put_field(g.arg, h->count_at, 8, 0x2000000000000001ull);
                g.ctx.limits = (struct hv_limits){ ~0ull, ~0u, ~0u, ~0u, 1ull << 60 };
                assert_refused(&g, REFUSED_SIZE);
            }
            good_call(&g, id);
            put_field(g.arg, h->count_at, h->count_width, 0);
            if (!h->maybe_null)
                assert_refused(&g, REFUSED_SIZE);
        }
}

static void data_must_have_the_exact_length(void **state)
{
    FOR_WORKER_ROWS(row, id) {
        good_call(&g, id);
        g.in.data.len++;
        assert_refused(&g, REFUSED_FRAME);
        good_call(&g, id);
        if (!g.in.data.len)
            continue;
        g.in.data.len--;
        assert_refused(&g, REFUSED_FRAME);
    }
}

/* Each OUT buffer is answered in full, and where Xen wrote nothing it is zeroes, not leftovers. */
static void answers_carry_no_leftovers(void **state)
{
    struct msg_CALLED out;
    enum refusal why;
    unsigned seen = 0;

    FOR_WORKER_ROWS(row, id) {
        uint32_t sizes[HV_HANDLES], want = 0;

        fake_reset();
        good_call(&g, id);
        hvrow_sizes(row, g.arg, sizes);
        for (unsigned i = 0; i < HV_HANDLES; i++)
            if (row->handles[i].dir & HV_OUT)
                want += sizes[i];
        assert_int_equal(run(&g, &out, &why), 0);
        if (out.ret < 0)
            continue;
        assert_int_equal(out.data.len, want);
        for (unsigned i = 0; i < want; i++)
            assert_int_equal(out.data.p[i], 0);
        seen += want > 0;
    }
    assert_true(seen >= 7);
}

static void every_row_says_why_it_is_safe(void **state)
{
    for (unsigned id = 1; id < HV_ROWS; id++) {
        const struct hv_rowdef *row = hvrow(id);

        assert_true(strlen(row->safe) > 20);
        assert_true(row->jobs && row->guests && row->phases);
        assert_true(row->size <= HV_ARG_SIZE && row->used <= row->size);
        assert_int_equal(row->guests & ~(1u << GUEST_PVH | 1u << GUEST_PV), 0);
        for (unsigned i = 0; i < HV_HANDLES; i++) {
            const struct hv_handle *h = &row->handles[i];

            if (!h->dir)
                continue;
            assert_true(h->at + 8u <= row->used && h->count_at + h->count_width <= row->used);
            assert_true(h->bound > 0 && h->bound <= HV_BULK_MAX);
            assert_true(h->bits || h->unit);
        }
        /* The frame carries what the arena does not. */
        assert_true(!(row->handles[0].bound > ARENA_MIN && row->handles[1].bound > ARENA_MIN));
    }
    assert_null(hvrow(0));
    assert_null(hvrow(HV_ROWS));
    assert_string_equal(hvrow_name(HV_ROWS), "(no row)");
}

static void the_worker_finds_each_row(void **state)
{
    FOR_WORKER_ROWS(row, id) {
        const void *arg = row->size ? g.arg : NULL;

        good_call(&g, id);
        assert_int_equal(hvrow_classify(row->op, row->subop, arg, row->size), id);
        assert_int_equal(hvrow_classify(row->op, row->subop, arg, HVROW_ANY_SIZE), id);
        assert_int_equal(hvrow_classify(row->op, row->subop, arg, row->size + 1), HV_NO_ROW);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(right_call_passes, setup),
        cmocka_unit_test_setup(only_in_its_job_guest_and_phase, setup),
        cmocka_unit_test_setup(another_domain_is_refused, setup),
        cmocka_unit_test_setup(another_version_is_refused, setup),
        cmocka_unit_test_setup(another_struct_size_is_refused, setup),
        cmocka_unit_test_setup(another_sub_op_is_refused, setup),
        cmocka_unit_test_setup(a_row_of_another_hypercall_is_refused, setup),
        cmocka_unit_test_setup(rows_of_the_warden_are_no_workers, setup),
        cmocka_unit_test_setup(numbers_outside_the_table_are_refused, setup),
        cmocka_unit_test_setup(no_sub_op_without_a_row_is_executed, setup),
        cmocka_unit_test_setup(handles_are_replaced_and_stay_inside, setup),
        cmocka_unit_test_setup(unused_bytes_do_not_travel, setup),
        cmocka_unit_test_setup(null_handle_only_where_the_row_has_that_form, setup),
        cmocka_unit_test_setup(counts_out_of_range_are_refused, setup),
        cmocka_unit_test_setup(data_must_have_the_exact_length, setup),
        cmocka_unit_test_setup(answers_carry_no_leftovers, setup),
        cmocka_unit_test_setup(every_row_says_why_it_is_safe, setup),
        cmocka_unit_test_setup(the_worker_finds_each_row, setup),
    };

    return cmocka_run_group_tests_name("warden_call/rows", tests, NULL, NULL);
}
