/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec under hostile bytes: whatever the scan passes must parse without a crash, within the
 * scan's limits, and a scan in small steps must come to the same end as one in one go.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include <cenote/status.h>

#include "transport/wire/wire.h"

#define FRAME_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t scan_in_steps(const uint8_t *data, size_t size, size_t step_bytes)
{
    struct wire_progress p = {0};
    int64_t rc = 0;
    for (size_t have = 0; rc == 0 && have < size;) {
        have = size - have < step_bytes ? size : have + step_bytes;
        rc = wire_scan(data, have, FRAME_MAX, &p);
    }
    return rc;
}

/* Reads a value with every accessor. */
static void read_all(struct wire_value v)
{
    bool b;
    uint64_t u;
    uint16_t u16;
    int32_t i;
    uint32_t count = 0;
    char text[16];
    const uint8_t *bin;
    size_t len_bytes = 0;
    uint64_t sum = 0;
    (void)(wire_is_nil(v) || wire_bool(v, &b) || wire_u16(v, &u16) || wire_uint(v, &u));
    (void)(wire_i32(v, &i) || wire_str(v, text, sizeof(text)) || wire_fixed(v, text, 8));
    if (wire_bin(v, &bin, &len_bytes))
        for (size_t at = 0; at < len_bytes; at++)
            sum += bin[at];
    assert(sum <= len_bytes * 255);
    if (wire_array(v, &count))
        for (uint32_t at = 0; at < count; at++)
            read_all(wire_at(v, at));
}

static void parse_value(const uint8_t *frame, size_t len_bytes)
{
    struct wire_msg holder;
    struct wire_value v;
    if (wire_parse_value(frame, len_bytes, &holder, &v) != CENOTE_OK)
        abort();
    read_all(v);
    free(wire_to_json(v));
    wire_msg_free(&holder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t len_bytes = wire_scan(data, size, FRAME_MAX, NULL);
    if (scan_in_steps(data, size, 1) != len_bytes || scan_in_steps(data, size, 7) != len_bytes)
        abort();
    if (len_bytes <= 0)
        return 0;
    parse_value(data, (size_t)len_bytes);
    struct wire_msg m;
    if (wire_parse(data, (size_t)len_bytes, &m) == CENOTE_OK) {
        read_all(m.params);
        read_all(m.result);
        wire_msg_free(&m);
    }
    return 0;
}
