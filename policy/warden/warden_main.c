/* SPDX-License-Identifier: LGPL-2.1-only */
#include "policy/warden/warden.h"

int main(void)
{
    return warden_main();
}
