/* SPDX-License-Identifier: Apache-2.0 */
/* What programs with a plain main check with: the first failure ends the program with status 1. */
#ifndef CENOTE_SCENARIO_CHECK_H
#define CENOTE_SCENARIO_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Both are integers. */
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long check_a = (long long)(a), check_b = (long long)(b);                              \
        if (check_a != check_b) {                                                                  \
            fprintf(stderr, "%s:%d: failed: %s is %lld, %s is %lld\n", __FILE__, __LINE__, #a,     \
                    check_a, #b, check_b);                                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#endif
