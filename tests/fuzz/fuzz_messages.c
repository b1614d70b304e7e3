/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message of the control protocol under hostile bytes: what its decoder takes is read to the
 * end. A record is a message, its tag says of which kind (their order in samples.c).
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/stub/samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = fuzz_input(data, size);
    struct fuzz_record r;
    struct wire_msg holder;
    struct wire_value v;
    while (fuzz_next(&in, &r)) {
        if (!fuzz_value(&r, &holder, &v))
            continue;
        (void)samples[r.tag % sample_count].get(v);
        wire_msg_free(&holder);
    }
    return 0;
}
