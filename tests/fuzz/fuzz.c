/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"

#include <cenote/status.h>
#include <stdlib.h>

#include "transport/base/log.h"

struct fuzz_input fuzz_input(const uint8_t *data, size_t size)
{
    static bool asked;
    if (!asked && getenv("CENOTE_FUZZ_LOG") != NULL)
        log_set_sink(log_to_stderr, NULL);
    asked = true;
    return (struct fuzz_input){.at = data, .left = size};
}

bool fuzz_next(struct fuzz_input *in, struct fuzz_record *out)
{
    if (in->left < FUZZ_RECORD_HEAD || in->records == FUZZ_RECORDS_MAX)
        return false;
    size_t len = in->at[2] | (size_t)in->at[3] << 8;
    in->left -= FUZZ_RECORD_HEAD;
    *out = (struct fuzz_record){.tag = in->at[0],
                                .aim = in->at[1],
                                .body = in->at + FUZZ_RECORD_HEAD,
                                .len = len < in->left ? len : in->left};
    in->at = out->body + out->len;
    in->left -= out->len;
    in->records++;
    return true;
}

bool fuzz_value(const struct fuzz_record *r, struct wire_msg *holder, struct wire_value *out)
{
    return wire_scan(r->body, r->len, WIRE_FRAME_MAX, NULL) == (int64_t)r->len &&
           wire_parse_value(r->body, r->len, holder, out) == CENOTE_OK;
}
