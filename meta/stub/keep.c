/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that say how long and how firmly values are kept. */
#include <string.h>

#include "meta/stub/fields.h"
#include "meta/stub/messages.h"

void keep_put(struct wire_buf *b, const struct keep *k)
{
    wire_put_array(b, 4);
    wire_put_uint(b, k->ttl_ms);
    wire_put_uint(b, k->pin);
    wire_put_uint(b, k->pin_ms);
    wire_put_bin(b, k->group, k->group_len);
}

int keep_check(const struct keep *k)
{
    bool sane = k->ttl_ms <= KEEP_TTL_MAX_MS && k->pin_ms <= KEEP_TTL_MAX_MS &&
                k->pin <= KEEP_PIN_HARD && (k->pin_ms == 0 || k->pin == KEEP_PIN_SOFT) &&
                k->group_len <= KEEP_GROUP_MAX;
    return sane ? CENOTE_OK : CENOTE_INVALID;
}

int keep_get(struct wire_value v, struct keep *k)
{
    *k = (struct keep){0};
    if (v.node == NULL || wire_is_nil(v))
        return CENOTE_OK;
    struct fields f = fields_of(v);
    const uint8_t *group = NULL;
    size_t len = 0;
    k->ttl_ms = fields_uint(&f);
    k->pin = fields_u32(&f);
    k->pin_ms = fields_uint(&f);
    fields_bin(&f, 0, SIZE_MAX, &group, &len);
    if (!fields_ok(&f))
        return CENOTE_MALFORMED;
    if (len > KEEP_GROUP_MAX)
        return CENOTE_INVALID;
    k->group_len = (uint32_t)len;
    if (len > 0)
        memcpy(k->group, group, len);
    return keep_check(k);
}

bool keep_asks(const struct keep *k)
{
    return k->ttl_ms > 0 || k->pin != KEEP_PIN_NONE || k->group_len > 0;
}
