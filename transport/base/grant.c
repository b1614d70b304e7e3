/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/grant.h"

#include <assert.h>
#include <cenote/status.h>
#include <sodium.h>

#include "transport/base/bytes.h"
#include "transport/base/testswitch.h"

struct session_token token_make(const struct hash_key *pool_key, uint64_t session,
                                uint32_t name_space)
{
    uint8_t input[8 + 4];
    struct bytes b = bytes_over(input, sizeof input);
    bytes_put_u64(&b, session);
    bytes_put_u32(&b, name_space);
    assert(bytes_ok(&b) && bytes_left(&b) == 0);

    struct hash128 mac = hash_siphash128(pool_key, input, sizeof input);
    struct session_token token;
    static_assert(sizeof token.b == sizeof mac.b, "a token is the whole hash");
    memcpy(token.b, mac.b, sizeof token.b);
    return token;
}

bool token_valid(const struct hash_key *pool_key, uint64_t session, uint32_t name_space,
                 const struct session_token *token)
{
    struct session_token good = token_make(pool_key, session, name_space);
    return sodium_memcmp(good.b, token->b, sizeof good.b) == 0;
}

struct write_grant grant_make(const struct hash_key *node_key, uint64_t boot, uint64_t session,
                              uint64_t put_id, struct gva gva, uint64_t extent_len)
{
    uint8_t input[5 * 8];
    struct bytes b = bytes_over(input, sizeof input);
    bytes_put_u64(&b, session);
    bytes_put_u64(&b, put_id);
    bytes_put_u64(&b, gva.v);
    bytes_put_u64(&b, extent_len);
    bytes_put_u64(&b, boot);
    assert(bytes_ok(&b) && bytes_left(&b) == 0);
    return (struct write_grant){.boot = boot, .mac = hash_siphash64(node_key, input, sizeof input)};
}

int grant_check(const struct hash_key *node_key, uint64_t boot, uint64_t session, uint64_t put_id,
                struct gva gva, uint64_t extent_len, const struct write_grant *grant)
{
    if (test_off(TEST_GRANT))
        return CENOTE_OK;
    if (grant->boot != boot && !test_off(TEST_BOOT))
        return CENOTE_OLD_BOOT;
    struct write_grant good = grant_make(node_key, grant->boot, session, put_id, gva, extent_len);
    if (sodium_memcmp(&good.mac, &grant->mac, sizeof good.mac) != 0)
        return CENOTE_BAD_GRANT;
    return CENOTE_OK;
}
