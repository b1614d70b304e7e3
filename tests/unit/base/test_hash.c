/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/hash.h"

#include <criterion/criterion.h>
#include <string.h>
#include <xxhash.h>

/* The key and input of SipHash's published test vectors: 00 01 02 ... */
static void counting(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)i;
}

Test(hash, siphash64__published_vector)
{
    struct hash_key key;
    uint8_t input[15];
    hash_init();
    counting(key.b, sizeof key.b);
    counting(input, sizeof input);
    cr_assert_eq(hash_siphash64(&key, input, 15), UINT64_C(0xa129ca6149be45e5));
    cr_assert_eq(hash_siphash64(&key, input, 0), UINT64_C(0x726fdb47dd0e0e31));
}

Test(hash, siphash128__published_vector)
{
    static const uint8_t empty[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                      0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
    struct hash_key key;
    hash_init();
    counting(key.b, sizeof key.b);
    struct hash128 h = hash_siphash128(&key, "", 0);
    cr_assert_arr_eq(h.b, empty, sizeof empty);
}

Test(hash, xxh3__agrees_with_the_plain_library)
{
    static uint8_t data[70000];
    hash_init();
    hash_init();
    hash_random(data, sizeof data);
    const size_t lens[] = {0, 1, 16, 112, 128, 240, 241, 1024, 65536, sizeof data};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        cr_assert_eq(hash_xxh3(data, lens[i]), XXH3_64bits(data, lens[i]));
    cr_assert_eq(hash_xxh3("", 0), UINT64_C(0x2d06800538d394c2));
}

Test(hash, random__differs)
{
    uint8_t a[32] = {0}, b[32] = {0};
    hash_init();
    hash_random(a, sizeof a);
    hash_random(b, sizeof b);
    cr_assert(memcmp(a, b, sizeof a) != 0);
    cr_assert_neq(hash_random_u64(), hash_random_u64());
    hash_random(NULL, 0);
}
