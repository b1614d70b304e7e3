/* SPDX-License-Identifier: Apache-2.0 */
#include "server/node/directory_slot.h"

#include <assert.h>
#include <string.h>

#include "meta/stub/messages.h"
#include "transport/base/bytes.h"

static const uint16_t sizes[SLOT_CLASSES] = {128, 192, 256, 320, 448, 640, 960, 1344};

static_assert(SLOT_MAX <= 1344, "the largest entry has a slot");

uint32_t slot_class(uint32_t len_bytes)
{
    uint32_t class = 0;
    assert(len_bytes <= SLOT_MAX);
    while (sizes[class] < len_bytes)
        class ++;
    return class;
}

uint32_t slot_size(uint32_t class)
{
    assert(class < SLOT_CLASSES);
    return sizes[class];
}

uint32_t slot_len(const struct directory_entry *e)
{
    return SLOT_FIXED + (uint32_t)strlen(e->space_name) + (uint32_t)e->key_len +
           (uint32_t)e->kept_len;
}

void slot_encode(const struct directory_entry *e, uint8_t *slot)
{
    size_t name_len = strlen(e->space_name);
    struct bytes b = bytes_over(slot + SLOT_SUMMED, slot_len(e) - SLOT_SUMMED);
    bytes_put_u16(&b, (uint16_t)e->key_len);
    bytes_put_u8(&b, (uint8_t)name_len);
    bytes_put_u8(&b, (uint8_t)e->sum_kind);
    bytes_put_u8(&b, (uint8_t)e->replicas);
    bytes_put_u8(&b, (uint8_t)e->flags);
    bytes_put_u16(&b, (uint16_t)e->kept_len);
    bytes_put_u64(&b, e->gva.v);
    bytes_put_u64(&b, e->payload_len);
    bytes_put_u64(&b, e->put_id);
    bytes_put_u32(&b, e->name_space);
    bytes_put_u16(&b, (uint16_t)e->stripe);
    bytes_put_u16(&b, (uint16_t)e->stripes);
    bytes_put(&b, e->key_hash.b, sizeof e->key_hash.b);
    bytes_put_u64(&b, e->len_bytes);
    bytes_put_u64(&b, e->created_ms);
    bytes_put_u64(&b, e->offset);
    bytes_put_u64(&b, e->root);
    bytes_put(&b, e->space_name, name_len);
    bytes_put(&b, e->key, e->key_len);
    bytes_put(&b, e->kept, e->kept_len);
    assert(bytes_ok(&b) && bytes_left(&b) == 0);
}

bool slot_decode(const uint8_t *slot, struct directory_entry *e)
{
    struct bytes b = bytes_over_const(slot + SLOT_SUMMED, SLOT_MAX - SLOT_SUMMED);
    uint8_t *key = NULL, *kept = NULL;
    e->key_len = bytes_get_u16(&b);
    size_t name_len = bytes_get_u8(&b);
    e->sum_kind = bytes_get_u8(&b);
    e->replicas = bytes_get_u8(&b);
    e->flags = bytes_get_u8(&b);
    e->kept_len = bytes_get_u16(&b);
    e->gva = gva_make(bytes_get_u64(&b));
    e->payload_len = bytes_get_u64(&b);
    e->put_id = bytes_get_u64(&b);
    e->name_space = bytes_get_u32(&b);
    e->stripe = bytes_get_u16(&b);
    e->stripes = bytes_get_u16(&b);
    bytes_get(&b, e->key_hash.b, sizeof e->key_hash.b);
    e->len_bytes = bytes_get_u64(&b);
    e->created_ms = bytes_get_u64(&b);
    e->offset = bytes_get_u64(&b);
    e->root = bytes_get_u64(&b);
    if (name_len > CENOTE_NAMESPACE_MAX)
        return false;
    bytes_get(&b, e->space_name, name_len);
    e->space_name[name_len] = '\0';
    bytes_take(&b, e->key_len, &key);
    e->key = key;
    bytes_take(&b, e->kept_len, &kept);
    e->kept = kept;
    return bytes_ok(&b) && e->key_len > 0 && e->key_len <= CENOTE_KEY_MAX && gva_valid(e->gva);
}

uint64_t slot_check(const uint8_t *slot, uint32_t size, uint64_t name, uint64_t place)
{
    struct bytes b = bytes_over_const(slot + SLOT_SUMMED, 8);
    uint32_t len = SLOT_FIXED + bytes_get_u16(&b);
    len += bytes_get_u8(&b);
    (void)bytes_get_u8(&b);
    (void)bytes_get_u8(&b);
    (void)bytes_get_u8(&b);
    len += bytes_get_u16(&b);
    if (len > size)
        return 0;
    uint64_t check =
        hash_xxh3(slot + SLOT_SUMMED, len - SLOT_SUMMED) ^ directory_mix(gva_make(place), name);
    return check != 0 ? check : 1;
}
