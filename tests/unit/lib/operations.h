/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef TESTS_LIB_OPERATIONS_H
#define TESTS_LIB_OPERATIONS_H

/* Operations on a ctx of the core's, with a moatd of the test's. */

#include "tests/unit/event/harness.h"
#include "tests/unit/lib/fake_moatd.h"

static inline libxl_asyncop_how app_how(struct op *op)
{
    *op = (struct op){ 0 };
    return (libxl_asyncop_how){ .callback = op_told, .u.for_callback = op };
}

static inline void assert_log_has(const char *words)
{
    if (!strstr(last_log, words))
        fail_msg("the log says \"%s\", not \"%s\"", last_log, words);
}

static inline void wait_told(struct op *op)
{
    int64_t end = ipc_now_ms() + 10000;

    while (!op->told && ipc_now_ms() < end)
        assert_int_equal(moat_loop_run_once(ctx, 100), 0);
    assert_int_equal(op->told, 1);
}

static inline int lib_set_up(void **state)
{
    set_up(state);
    fake_listen(8);
    libxl__request_times = (struct libxl__request_times){
        .backlog = 5, .answer = 5000, .abort = 5000, .watch = 5000, .reconnect = 5,
        .reconnects = 3,
    };
    return 0;
}

static inline int lib_tear_down(void **state)
{
    fake_end();
    return tear_down(state);
}

#define LIB_TEST(f) cmocka_unit_test_setup_teardown(f, lib_set_up, lib_tear_down)

#endif
