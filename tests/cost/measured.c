/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cost/measured.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/cost/allocations.h"
#include "transport/base/sums_kernel.h"

__attribute__((noinline)) void measured(void (*turn)(void *arg), void *arg, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++)
        turn(arg);
}

void measure(void (*turn)(void *arg), void *arg, uint64_t times)
{
    uint64_t before = allocations();
    pid_t unused = getpgid(MARK_BEGIN);
    measured(turn, arg, times);
    unused = getpgid(MARK_END);
    (void)unused;
    printf("times %llu allocations %llu kernel %s compiler %s\n", (unsigned long long)times,
           (unsigned long long)(allocations() - before), sums_kernel_in_use()->name, __VERSION__);
}
