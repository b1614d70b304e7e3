/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/lives.h"

#include <string.h>

#include "meta/core/core.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define VALUE_LIVES "lives"
#define LIFE_BYTES  16u

bool lives_own_value(const void *name, size_t len)
{
    return len == strlen(VALUE_LIVES) && memcmp(name, VALUE_LIVES, len) == 0;
}

int lives_read(struct core *c)
{
    const void *value;
    uint32_t len;
    struct store *store = c->changes.store;
    int status = store->ops->get(store, STORE_META, VALUE_LIVES, strlen(VALUE_LIVES), &value, &len);
    c->lives.count = 0;
    if (status == CENOTE_NOT_FOUND) /* of a version that kept none, or a new one */
        return CENOTE_OK;
    if (status != CENOTE_OK)
        return status;
    if (len % LIFE_BYTES != 0 || len / LIFE_BYTES > LIVES_MAX) {
        log_error("meta", "the store's value %s can't be read", VALUE_LIVES);
        return CENOTE_IO;
    }
    struct bytes b = bytes_over((void *)(uintptr_t)value, len);
    for (c->lives.count = 0; c->lives.count < len / LIFE_BYTES; c->lives.count++) {
        struct reign_life *l = &c->lives.at[c->lives.count];
        l->reign = bytes_get_u64(&b);
        l->life = bytes_get_u64(&b);
    }
    return CENOTE_OK;
}

void lives_begin(struct core *c)
{
    uint8_t value[LIVES_MAX * LIFE_BYTES];
    struct bytes b = bytes_over(value, sizeof(value));
    struct lives *all = &c->lives;
    if (all->count == LIVES_MAX)
        memmove(&all->at[0], &all->at[1], --all->count * sizeof(all->at[0]));
    all->at[all->count++] = (struct reign_life){c->ids.reign, c->life};
    for (uint32_t i = 0; i < all->count; i++) {
        bytes_put_u64(&b, all->at[i].reign);
        bytes_put_u64(&b, all->at[i].life);
    }
    change_put(&c->changes, STORE_META, VALUE_LIVES, strlen(VALUE_LIVES), value,
               all->count * LIFE_BYTES);
}

bool lives_contradict(const struct core *c, uint64_t reign, uint64_t life)
{
    uint32_t i = c->lives.count;
    while (i > 0 && c->lives.at[i - 1].reign > reign)
        i--;
    if (i == 0 || c->lives.at[i - 1].reign != reign || test_off(TEST_LIVES))
        return false;
    return c->lives.at[i - 1].life != life;
}
