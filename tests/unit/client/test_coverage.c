/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include <cenote/status.h>

#include "client/coverage.h"

#define BYTES  64u
#define ROUNDS 2000u

static uint32_t dice(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

/* Runs that the model's bytes make. */
static size_t runs_of(const uint8_t *taken)
{
    size_t count = 0;
    for (size_t i = 0; i < BYTES; i++)
        count += taken[i] && (i == 0 || !taken[i - 1]);
    return count;
}

Test(coverage, claim__as_an_array_of_bytes)
{
    uint64_t state = 1;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct coverage c = {0};
        uint8_t taken[BYTES] = {0};
        for (unsigned i = 0; i < 20; i++) {
            uint32_t begin = dice(&state, BYTES), end = begin + 1 + dice(&state, 8);
            end = end < BYTES ? end : BYTES;
            int want = memchr(taken + begin, 1, end - begin) ? CENOTE_INVALID : CENOTE_OK;
            cr_assert_eq(coverage_claim(&c, begin, end), want, "round %u", round);
            if (want == CENOTE_OK)
                memset(taken + begin, 1, end - begin);
            cr_assert_eq(c.count, runs_of(taken), "round %u", round);
        }
        coverage_free(&c);
    }
}

Test(coverage, claim__limit)
{
    struct coverage c = {0};

    for (uint64_t i = 0; i < COVERAGE_RUNS_MAX; i++)
        cr_assert_eq(coverage_claim(&c, 2 * i, 2 * i + 1), CENOTE_OK);
    cr_assert_eq(coverage_claim(&c, UINT64_MAX - 1, UINT64_MAX), CENOTE_LIMIT);
    cr_assert_eq(coverage_claim(&c, 1, 2), CENOTE_OK); /* closes a gap */
    cr_assert_eq(coverage_claim(&c, UINT64_MAX - 1, UINT64_MAX), CENOTE_OK);
    cr_assert_eq(c.count, COVERAGE_RUNS_MAX);
    coverage_free(&c);
}
