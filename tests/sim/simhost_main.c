/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/sim/simhost.h"

int main(int argc, char **argv)
{
    return simhost_main(argc, argv);
}
