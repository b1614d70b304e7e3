/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's directory file that somebody has damaged: opened, it has only entries that are whole,
 * and works on. The file is what a node wrote; the input changes it. A record's body is written at
 * the place that its tag and aim name (tag: 0 to 127 the header, else the first chunk); every
 * slot's checksum is made right again where the first bit of the tag of the last record is set, so
 * that what is behind the checksums is tried too.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/node/directory_slot.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/server/entries.h"
#include "transport/base/bytes.h"

#define IMAGE_BYTES (DIRECTORY_HEAD_BYTES + DIRECTORY_CHUNK_BYTES)
#define LIMIT_BYTES (UINT64_C(1) << 20)
#define ENTRIES     20u
#define UNIT_BYTES  64u

static uint8_t image[IMAGE_BYTES];

static void make_image(int fd)
{
    struct directory *d;
    int status = directory_open(fd, LIMIT_BYTES, &entry_range, 1, &d);
    assert(status == CENOTE_OK);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        struct directory_entry e = entry_make(i, 1 + i % 3);
        e.key_len = e.key_len % 20 + 1; /* one size of slots or two */
        status = directory_set(d, &e);
        assert(status == CENOTE_OK);
    }
    directory_close(d);
    ssize_t n = pread(fd, image, sizeof image, 0);
    assert(n > (ssize_t)DIRECTORY_HEAD_BYTES);
}

static void check_again(uint8_t *file)
{
    struct bytes name = bytes_over_const(file + 8, 8);
    uint64_t number = bytes_get_u64(&name);
    struct bytes b = bytes_over_const(file + DIRECTORY_HEAD_BYTES + 8, 4);
    uint32_t class = bytes_get_u32(&b);
    if (class >= SLOT_CLASSES)
        return;
    uint32_t size = slot_size(class), slots = (DIRECTORY_CHUNK_BYTES - DIRECTORY_CHUNK_HEAD) / size;
    for (uint32_t i = 0; i < slots; i++) {
        size_t at = DIRECTORY_HEAD_BYTES + DIRECTORY_CHUNK_HEAD + (size_t)i * size;
        struct bytes old = bytes_over_const(file + at, 8);
        if (bytes_get_u64(&old) == 0)
            continue;
        struct bytes out = bytes_over(file + at, 8);
        bytes_put_u64(&out, slot_check(file + at, size, number, at / UNIT_BYTES));
    }
}

static void damage(const uint8_t *data, size_t size, uint8_t *file)
{
    struct fuzz_input in = fuzz_input(data, size);
    struct fuzz_record r = {0};
    bool again = false;
    while (fuzz_next(&in, &r)) {
        size_t at = r.tag < 128 ? ((size_t)(r.tag >> 1) << 8 | r.aim) % DIRECTORY_HEAD_BYTES
                                : DIRECTORY_HEAD_BYTES + ((size_t)(r.tag & 0x7e) << 7 | r.aim);
        size_t len = r.len < IMAGE_BYTES - at ? r.len : IMAGE_BYTES - at;
        memcpy(file + at, r.body, len);
        again = (r.tag & 1) != 0;
    }
    if (again)
        check_again(file);
}

static void use(struct directory *d)
{
    struct directory_entry e;
    struct directory_sum sum = {0};
    for (uint64_t cursor = 0; directory_next(d, &cursor, &e);) {
        struct directory_entry found;
        assert(gva_covers(entry_range.gva, entry_range.len_bytes, e.gva, 1));
        assert(directory_find(d, e.gva, &found) && entry_equal(&e, &found));
        directory_sum_add(&sum, e.gva, e.put_id);
    }
    struct directory_sum told = directory_sum(d);
    assert(told.entries == sum.entries && told.digest == sum.digest);
    for (uint64_t i = 0; i < ENTRIES / 2; i++)
        directory_drop(d, gva_make(ENTRY_GVA + i * 16));
    e = entry_make(1, 99);
    int status = directory_set(d, &e);
    assert(status == CENOTE_OK && entry_is(d, 1, 99));
    directory_round_begin(d);
    directory_round_end(d);
    assert(directory_sum(d).entries == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[IMAGE_BYTES];
    static int fd = -1;
    struct directory *d;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        make_image(fd);
    }
    memcpy(file, image, sizeof file);
    damage(data, size, file);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, file, sizeof file, 0) != (ssize_t)sizeof file)
        abort();
    if (directory_open(fd, LIMIT_BYTES, &entry_range, 1, &d) != CENOTE_OK)
        return 0;
    use(d);
    directory_close(d);
    return 0;
}
