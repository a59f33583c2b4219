/* SPDX-License-Identifier: LGPL-2.1-only */
/* The head of an image is xl's, byte for byte.  Fixtures: taken from `xl save` of Xen 4.17. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/workers/fixture.h"
#include "workers/save/config.h"
#include "workers/save/stream.h"

static const char *const kinds[] = { "pv", "pvh" };

static struct config_values xl_values(void)
{
    /* what the box's xenstore and hypervisor said of these guests */
    return (struct config_values){ .target_kb = 196608, .sched = "credit2", .weight = 256, .cap = 0,
                                   .period = -1, .budget = -1, .domid = 1 };
}

static void head_of_the_image_is_xls(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct config_values v = xl_values();
        struct fixture userdata = fixture("%s-userdata.json", kinds[i]);
        struct fixture head = fixture("%s-image-header.bin", kinds[i]);
        uint8_t buf[STREAM_FILE_HEADER];
        char *json, why[128];
        uint32_t len;

        assert_int_equal(config_make(userdata.text, userdata.len, &v, &json, &len, why), 0);
        stream_file_header(buf, len);
        assert_int_equal(head.len, sizeof(buf) + len);
        assert_memory_equal(head.text, buf, sizeof(buf));
        assert_memory_equal(head.text + sizeof(buf), json, len);
        free(json);
        free(userdata.text);
        free(head.text);
    }
}

static void libxl_header_is_libxls(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct fixture head = fixture("%s-libxl-header.bin", kinds[i]);
        uint8_t buf[STREAM_LIBXL_HEADER];

        stream_libxl_header(buf);
        assert_int_equal(head.len, sizeof(buf));
        assert_memory_equal(head.text, buf, sizeof(buf));
        free(head.text);
    }
}

static void end_record_is_eight_zeroes(void **state)
{
    static const uint8_t zeroes[STREAM_END];
    uint8_t buf[STREAM_END];

    memset(buf, 0xA5, sizeof(buf));
    stream_end(buf);
    assert_memory_equal(buf, zeroes, sizeof(buf));
}

static void a_full_disk_is_named(void **state)
{
    int fd = open("/dev/full", O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(stream_write(fd, "x", 1), -ENOSPC);
    close(fd);
    assert_int_equal(stream_write(-1, "x", 1), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_of_the_image_is_xls),
        cmocka_unit_test(libxl_header_is_libxls),
        cmocka_unit_test(end_record_is_eight_zeroes),
        cmocka_unit_test(a_full_disk_is_named),
    };

    return cmocka_run_group_tests_name("workers/stream", tests, NULL, NULL);
}
