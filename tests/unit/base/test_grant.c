/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/grant.h"

#include <cenote/status.h>
#include <criterion/criterion.h>

#define SESSION UINT64_C(0x0102030405060708)
#define PUT     UINT64_C(0x0000000700000001)
#define BOOT    UINT64_C(0xb007)
#define LEN     UINT64_C(4224)

static const struct hash_key key = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const struct hash_key other_key = {{2}};
static const struct gva where = {GVA_FIRST + 4096};

Test(grant, token__valid_for_its_session_and_namespace_only)
{
    hash_init();
    struct session_token t = token_make(&key, SESSION, 3);
    cr_assert(token_valid(&key, SESSION, 3, &t));
    cr_assert_not(token_valid(&key, SESSION + 1, 3, &t));
    cr_assert_not(token_valid(&key, SESSION, 4, &t));
    cr_assert_not(token_valid(&other_key, SESSION, 3, &t));
    for (size_t bit = 0; bit < 8 * TOKEN_BYTES; bit++) {
        struct session_token forged = t;
        forged.b[bit / 8] = (uint8_t)(forged.b[bit / 8] ^ (1u << (bit % 8)));
        cr_assert_not(token_valid(&key, SESSION, 3, &forged));
    }
}

Test(grant, check__accepts_what_was_granted)
{
    hash_init();
    struct write_grant g = grant_make(&key, BOOT, SESSION, PUT, where, LEN);
    cr_assert_eq(g.boot, BOOT);
    cr_assert_eq(grant_check(&key, BOOT, SESSION, PUT, where, LEN, &g), CENOTE_OK);
}

Test(grant, check__refuses_everything_else)
{
    hash_init();
    struct write_grant g = grant_make(&key, BOOT, SESSION, PUT, where, LEN);
    struct gva beside = gva_add(where, 16);
    cr_assert_eq(grant_check(&other_key, BOOT, SESSION, PUT, where, LEN, &g), CENOTE_BAD_GRANT);
    cr_assert_eq(grant_check(&key, BOOT, SESSION + 1, PUT, where, LEN, &g), CENOTE_BAD_GRANT);
    cr_assert_eq(grant_check(&key, BOOT, SESSION, PUT + 1, where, LEN, &g), CENOTE_BAD_GRANT);
    cr_assert_eq(grant_check(&key, BOOT, SESSION, PUT, beside, LEN, &g), CENOTE_BAD_GRANT);
    cr_assert_eq(grant_check(&key, BOOT, SESSION, PUT, where, LEN + 16, &g), CENOTE_BAD_GRANT);
    g.mac ^= 1;
    cr_assert_eq(grant_check(&key, BOOT, SESSION, PUT, where, LEN, &g), CENOTE_BAD_GRANT);
}

Test(grant, check__another_boot)
{
    hash_init();
    struct write_grant g = grant_make(&key, BOOT, SESSION, PUT, where, LEN);
    cr_assert_eq(grant_check(&key, BOOT + 1, SESSION, PUT, where, LEN, &g), CENOTE_OLD_BOOT);
    g.boot = BOOT + 1; /* relabelled: the boot is inside the MAC */
    cr_assert_eq(grant_check(&key, BOOT + 1, SESSION, PUT, where, LEN, &g), CENOTE_BAD_GRANT);
}
