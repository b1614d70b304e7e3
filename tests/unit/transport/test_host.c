/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/resource.h>

#include "transport/xcopy.h"

/* A process that began without a descriptor to spare was on no host for its life: its clients never
 * took the way over shared memory. */
Test(host, this_host__asked_again)
{
    char host[XCOPY_HOST_MAX] = "?";
    struct rlimit before, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    xcopy_this_host(host);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_str_eq(host, "");
    xcopy_this_host(host);
    cr_assert_gt(strlen(host), 30);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    char again[XCOPY_HOST_MAX];
    xcopy_this_host(again);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_str_eq(again, host);
}
