/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/node/directory_slot.h"
#include "tests/unit/server/entries.h"
#include "transport/base/hash.h"

#define MIB   (UINT64_C(1) << 20)
#define LIMIT (64 * MIB)

static struct directory *d;
static int file;

static void reopen_within(uint64_t limit)
{
    directory_close(d);
    cr_assert_eq(directory_open(file, limit, &entry_range, 1, &d), CENOTE_OK);
}

static void reopen(void)
{
    reopen_within(LIMIT);
}

static void begin(void)
{
    hash_init();
    file = memfd_create("test", MFD_CLOEXEC);
    cr_assert(file >= 0);
    d = NULL;
    reopen();
}

static void end(void)
{
    directory_close(d);
    close(file);
}

TestSuite(directory, .init = begin, .fini = end);

static int set(uint64_t i, uint64_t put_id)
{
    struct directory_entry e = entry_make(i, put_id);
    return directory_set(d, &e);
}

static void drop(uint64_t i)
{
    directory_drop(d, gva_make(ENTRY_GVA + i * 16));
}

static uint64_t size(void)
{
    return directory_sum(d).entries;
}

Test(directory, set_and_drop)
{
    struct directory_sum none = directory_sum(d);
    cr_assert_eq(size(), 0);
    for (uint64_t i = 0; i < 3000; i++)
        cr_assert_eq(set(i, 100 + i), CENOTE_OK);
    cr_assert_eq(size(), 3000);
    for (uint64_t i = 0; i < 3000; i++)
        cr_assert(entry_is(d, i, 100 + i));
    for (uint64_t i = 0; i < 3000; i++)
        drop(i);
    drop(5);
    cr_assert_eq(size(), 0);
    cr_assert_eq(directory_sum(d).digest, none.digest);
    cr_assert_eq(entry_put(d, 7), 0);
}

Test(directory, sum__of_contents_not_of_history)
{
    cr_assert_eq(set(1, 11), CENOTE_OK);
    cr_assert_eq(set(2, 12), CENOTE_OK);
    struct directory_sum sum = directory_sum(d);
    drop(1);
    cr_assert_neq(directory_sum(d).digest, sum.digest);
    cr_assert_eq(set(1, 11), CENOTE_OK);
    cr_assert_eq(directory_sum(d).digest, sum.digest);
    cr_assert_eq(set(1, 13), CENOTE_OK);
    cr_assert_neq(directory_sum(d).digest, sum.digest);
    cr_assert_eq(size(), 2);
}

Test(directory, set__again)
{
    cr_assert_eq(set(1, 11), CENOTE_OK);
    cr_assert_eq(set(1, 11), CENOTE_OK);
    cr_assert_eq(size(), 1);
    cr_assert_eq(set(1, 12), CENOTE_OK);
    cr_assert(entry_is(d, 1, 12));
    cr_assert_eq(set(1, 11), CENOTE_OK); /* word from the past */
    cr_assert(entry_is(d, 1, 12));
    cr_assert_eq(size(), 1);
}

Test(directory, set__same_put_other_contents)
{
    struct directory_entry found, e = entry_make(4, 20);
    cr_assert_eq(directory_set(d, &e), CENOTE_OK);
    e.root++;
    cr_assert_eq(directory_set(d, &e), CENOTE_OK);
    cr_assert(directory_find(d, e.gva, &found) && entry_equal(&found, &e));
    cr_assert_eq(size(), 1);
}

Test(directory, keys__of_every_length)
{
    static uint8_t key[CENOTE_KEY_MAX];
    struct directory_entry found;
    for (uint32_t len = 1; len <= CENOTE_KEY_MAX; len++) {
        struct directory_entry e = entry_make(len, 1000 + len);
        memset(key, 0xff, len);
        e.key = key;
        e.key_len = len;
        memset(e.space_name, 'n', CENOTE_NAMESPACE_MAX);
        e.space_name[len % CENOTE_NAMESPACE_MAX + 1] = '\0';
        cr_assert_eq(directory_set(d, &e), CENOTE_OK);
        cr_assert(directory_find(d, e.gva, &found) && entry_equal(&found, &e));
    }
    struct directory_sum sum = directory_sum(d);
    reopen();
    cr_assert_eq(directory_sum(d).digest, sum.digest);
}

Test(directory, next__each_once)
{
    struct directory_entry e;
    static unsigned seen[500];
    for (uint64_t i = 0; i < 500; i++)
        cr_assert_eq(set(i, 1 + i), CENOTE_OK);
    for (uint64_t cursor = 0, at = 0; directory_next(d, &cursor, &e); at++) {
        uint64_t i = (e.gva.v - ENTRY_GVA) / 16;
        struct directory_entry as = entry_make(i, 1 + i);
        cr_assert(entry_equal(&e, &as));
        seen[i]++;
        if (at % 3 == 0)
            drop((i + 250) % 500); /* what stays is seen all the same */
    }
    for (uint64_t i = 0; i < 500; i++)
        cr_assert(seen[i] == 1 || (seen[i] == 0 && entry_put(d, i) == 0));
    for (uint64_t cursor = 1; cursor != 0; cursor <<= 1) {
        uint64_t at = cursor - 1;
        directory_next(d, &at, &e);
        at = ~cursor;
        directory_next(d, &at, &e);
    }
}

Test(directory, round__drops_the_others)
{
    for (uint64_t i = 0; i < 300; i++)
        cr_assert_eq(set(i, 1 + i), CENOTE_OK);
    directory_round_begin(d);
    for (uint64_t i = 0; i < 300; i += 3)
        cr_assert_eq(set(i, 1 + i), CENOTE_OK);
    directory_round_begin(d); /* the first one was given up */
    for (uint64_t i = 0; i < 300; i += 2)
        cr_assert_eq(set(i, i < 150 ? 1 + i : 1000 + i), CENOTE_OK);
    directory_round_end(d);
    cr_assert_eq(size(), 150);
    for (uint64_t i = 0; i < 300; i += 2)
        cr_assert(entry_is(d, i, i < 150 ? 1 + i : 1000 + i));
    directory_round_begin(d);
    directory_round_end(d);
    cr_assert_eq(size(), 0);
}

/* ---- limits ---------------------------------------------------------------------------------- */

Test(directory, full__goes_on_when_there_is_room_again)
{
    uint64_t limit = DIRECTORY_HEAD_BYTES + 3 * DIRECTORY_CHUNK_BYTES, i = 0;
    reopen_within(limit);
    while (set(i, 1 + i) == CENOTE_OK)
        cr_assert(++i < 10000);
    cr_assert_leq(directory_bytes(d), limit);
    cr_assert_eq(set(i, 1 + i), CENOTE_NO_SPACE);
    cr_assert_eq(size(), i);
    for (uint64_t k = 0; k < i; k++) {
        cr_assert(entry_is(d, k, 1 + k));
        drop(k);
    }
    for (uint64_t k = 0; k < 100; k++)
        cr_assert_eq(set(5000 + k * CENOTE_KEY_MAX, 9000), CENOTE_OK); /* all of one length */
    reopen_within(limit);
    cr_assert_eq(size(), 100);
}

static bool says_no(void *arg, uint64_t bytes)
{
    (*(unsigned *)arg)++;
    return bytes == 0;
}

Test(directory, machine_without_memory)
{
    unsigned asked = 0;
    for (uint64_t i = 0; i < 500; i++) /* a chunk of each class */
        cr_assert_eq(set(i, 1 + i), CENOTE_OK);
    directory_ask(d, says_no, &asked);
    uint64_t i = 500;
    while (set(i, 1 + i) == CENOTE_OK)
        i++;
    cr_assert(i > 501 && asked == 1);
    cr_assert_eq(size(), i);
    directory_ask(d, NULL, NULL);
    cr_assert_eq(set(i, 1 + i), CENOTE_OK);
}

Test(directory, memory_goes_back)
{
    struct stat full, empty;
    for (uint64_t i = 0; i < 5000; i++)
        cr_assert_eq(set(i, 1 + i), CENOTE_OK);
    cr_assert_eq(fstat(file, &full), 0);
    for (uint64_t i = 0; i < 5000; i++)
        drop((i * 7) % 5000);
    cr_assert_eq(size(), 0);
    cr_assert_eq(fstat(file, &empty), 0);
    cr_assert_leq(directory_bytes(d),
                  DIRECTORY_HEAD_BYTES + SLOT_CLASSES * (uint64_t)DIRECTORY_CHUNK_BYTES);
    cr_assert_leq((uint64_t)empty.st_blocks * 512, directory_bytes(d));
    cr_assert_gt(full.st_blocks, 4 * empty.st_blocks);
    reopen();
    cr_assert_eq(fstat(file, &full), 0);
    cr_assert_leq(full.st_blocks, empty.st_blocks, "to look at the holes took memory");
}

/* ---- taking over ----------------------------------------------------------------------------- */

Test(directory, taken_over)
{
    srand(3);
    uint64_t puts[400] = {0};
    for (uint64_t put_id = 1; put_id < 4000; put_id++) {
        uint64_t i = (uint64_t)rand() % 400;
        if (rand() % 3 == 0) {
            drop(i);
            puts[i] = 0;
        } else {
            cr_assert_eq(set(i, put_id), CENOTE_OK);
            puts[i] = put_id;
        }
        if (put_id % 500 == 0) {
            struct directory_sum sum = directory_sum(d);
            reopen();
            cr_assert_eq(directory_sum(d).digest, sum.digest);
        }
    }
    for (uint64_t i = 0; i < 400; i++)
        cr_assert_eq(entry_put(d, i), puts[i]);
}

Test(directory, taken_over__only_what_lies_in_the_ranges)
{
    struct directory_range half = {{ENTRY_GVA + 16 * 10}, 16 * 5};
    for (uint64_t i = 0; i < 30; i++)
        cr_assert_eq(set(i, 1 + i), CENOTE_OK);
    directory_close(d);
    cr_assert_eq(directory_open(file, LIMIT, &half, 1, &d), CENOTE_OK);
    cr_assert_eq(size(), 5);
    cr_assert(entry_is(d, 10, 11) && entry_is(d, 14, 15));
}

Test(directory, fresh__empty)
{
    cr_assert_eq(set(1, 1), CENOTE_OK);
    directory_close(d);
    cr_assert_eq(directory_open(file, LIMIT, NULL, 0, &d), CENOTE_OK);
    cr_assert_eq(size(), 0);
    reopen();
    cr_assert_eq(size(), 0);
}

Test(directory, truncated__what_is_there_is_taken)
{
    struct stat st;
    for (uint64_t i = 0; i < 1200; i++)
        cr_assert_eq(set(i, 1 + i), CENOTE_OK);
    cr_assert_eq(fstat(file, &st), 0);
    uint64_t before = size();
    for (off_t len = st.st_size; len >= 0; len -= len > 70000 ? 30011 : 997) {
        cr_assert_eq(ftruncate(file, len), 0);
        reopen();
        cr_assert_leq(size(), before);
        before = size();
        for (uint64_t i = 0; i < 1200; i++)
            cr_assert(entry_put(d, i) == 0 || entry_put(d, i) == 1 + i);
    }
    cr_assert_eq(size(), 0);
}

Test(directory, header__damaged)
{
    uint8_t byte;
    for (off_t at = 0; at < 64; at++) {
        cr_assert_eq(set(1, 1), CENOTE_OK);
        cr_assert_eq(pread(file, &byte, 1, at), 1);
        byte ^= 0x10;
        cr_assert_eq(pwrite(file, &byte, 1, at), 1);
        reopen();
        cr_assert_eq(size(), 0, "byte %d", (int)at);
    }
}

/* ---- torn writes ----------------------------------------------------------------------------- */

static uint8_t *snapshot(size_t *len)
{
    struct stat st;
    cr_assert_eq(fstat(file, &st), 0);
    uint8_t *bytes = malloc((size_t)st.st_size);
    cr_assert_eq(pread(file, bytes, (size_t)st.st_size, 0), (ssize_t)st.st_size);
    *len = (size_t)st.st_size;
    return bytes;
}

/* A file in which only some of the words of a change have been written: those up to a place, or
 * from a place on, or any. Each number has the entry from before or from after, or, if the order of
 * the writes was broken, none; and never half of one. */
static void tear(const uint8_t *before, const uint8_t *after, size_t len, unsigned how)
{
    size_t differ = 0, at = 0;
    for (size_t i = 0; i < len; i += 8)
        differ += memcmp(before + i, after + i, 8) != 0;
    size_t place = differ == 0 ? 0 : (size_t)rand() % (differ + 1);
    cr_assert_eq(pwrite(file, before, len, 0), (ssize_t)len);
    for (size_t i = 0; i < len; i += 8) {
        if (memcmp(before + i, after + i, 8) == 0)
            continue;
        bool write = how == 0 ? at < place : how == 1 ? at >= place : rand() % 2 == 0;
        if (write)
            cr_assert_eq(pwrite(file, after + i, 8, (off_t)i), 8);
        at++;
    }
}

Test(directory, torn__old_or_new_or_nothing)
{
    static uint64_t old[40], now[40];
    srand(5);
    for (uint64_t i = 0; i < 40; i++)
        cr_assert_eq(set(i, old[i] = 1 + i), CENOTE_OK);
    for (uint64_t round = 0; round < 300; round++) {
        size_t len, after_len;
        uint8_t *before = snapshot(&len);
        uint64_t i = (uint64_t)rand() % 40;
        memcpy(now, old, sizeof now);
        if (rand() % 4 == 0) {
            drop(i);
            now[i] = 0;
        } else {
            cr_assert_eq(set(i, now[i] = 100 + round), CENOTE_OK);
        }
        uint8_t *after = snapshot(&after_len);
        before = realloc(before, after_len);
        if (after_len > len)
            memset(before + len, 0, after_len - len);
        directory_close(d);
        d = NULL;
        tear(before, after, after_len, (unsigned)round % 3);
        reopen();
        for (uint64_t k = 0; k < 40; k++) {
            uint64_t found = entry_put(d, k);
            cr_assert(found == now[k] || found == old[k] || found == 0);
            cr_assert(k == i || found == old[k], "number %d was not touched", (int)k);
        }
        directory_close(d);
        d = NULL;
        cr_assert_eq(pwrite(file, after, after_len, 0), (ssize_t)after_len);
        reopen();
        memcpy(old, now, sizeof old);
        free(before);
        free(after);
    }
}

Test(directory, damaged__entry_is_dropped)
{
    size_t len;
    cr_assert_eq(set(3, 3), CENOTE_OK);
    cr_assert_eq(set(4, 4), CENOTE_OK);
    uint8_t *good = snapshot(&len);
    uint32_t slot = DIRECTORY_HEAD_BYTES + DIRECTORY_CHUNK_HEAD;
    for (uint32_t at = 0; at < 300; at++) {
        uint8_t byte = good[slot + at] ^ 0x41;
        directory_close(d);
        d = NULL;
        cr_assert_eq(pwrite(file, good, len, 0), (ssize_t)len);
        cr_assert_eq(pwrite(file, &byte, 1, (off_t)(slot + at)), 1);
        reopen();
        for (uint64_t i = 0; i < 6; i++) {
            uint64_t found = entry_put(d, i);
            cr_assert(found == 0 || (found == i && (i == 3 || i == 4)));
        }
        bool summed = at < 8 || (at >= SLOT_SUMMED && at < SLOT_FIXED);
        cr_assert_eq(size(), summed ? 1 : size());
    }
    free(good);
}

/* A client chooses keys: one that contains the bytes of an entry is no entry. */
Test(directory, key_like_an_entry)
{
    static uint8_t key[CENOTE_KEY_MAX];
    size_t len;
    struct directory_entry e = entry_make(8, 8), forged = entry_make(9, 9);
    forged.key_len = 10;
    forged.key = (const uint8_t *)"0123456789";
    cr_assert_eq(directory_set(d, &forged), CENOTE_OK);
    uint8_t *bytes = snapshot(&len);
    memcpy(key + 64, bytes + DIRECTORY_HEAD_BYTES + DIRECTORY_CHUNK_HEAD, 192);
    free(bytes);
    directory_drop(d, forged.gva);
    e.key = key;
    e.key_len = 700;
    for (uint64_t i = 0; i < 70; i++) {
        e.gva = gva_make(ENTRY_GVA + (100 + i) * 16);
        cr_assert_eq(directory_set(d, &e), CENOTE_OK);
    }
    for (uint64_t i = 0; i < 70; i++)
        drop(100 + i);
    for (uint64_t i = 0; i < 3000; i++)
        cr_assert_eq(set(1000 + i, 5), CENOTE_OK);
    reopen();
    cr_assert_eq(size(), 3000);
    cr_assert_eq(entry_put(d, 9), 0);
}
