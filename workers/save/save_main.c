/* SPDX-License-Identifier: LGPL-2.1-only */
/* The save worker: one process for one save of one domain. */
#include "workers/common.h"
#include "workers/save/save.h"

int main(void)
{
    struct save_result result;
    char why[128];

    if (worker_start(SANDBOX_SAVE, why))
        return 1;
    save_run(&result);
    worker_complete(result.retval, result.errnum, result.bytes, result.message);
    return result.retval ? 1 : 0;
}
