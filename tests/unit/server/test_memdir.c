/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/memory/memdir_state.h"

static char dir[64];
static struct memdir *d;
static const uint64_t lens[] = {UINT64_C(1) << 20, UINT64_C(3) << 20};

static void reopen(void)
{
    memdir_close(d);
    cr_assert_eq(memdir_open(dir, "", "n1", &d), CENOTE_OK);
}

static void begin(void)
{
    hash_init();
    strcpy(dir, "/dev/shm/cenote-test-XXXXXX");
    cr_assert_neq(mkdtemp(dir), NULL);
    d = NULL;
    reopen();
}

static void end(void)
{
    char command[128];
    memdir_close(d);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(memdir, .init = begin, .fini = end);

static struct memdir_state sample(void)
{
    struct memdir_state s = {.pool = {1, 2, 3}, .highest_reign = 7, .segment_count = 2};
    for (uint32_t i = 0; i < 2; i++) {
        s.segments[i].len_bytes = lens[i];
        s.segments[i].incarnation = 100 + i;
        s.segments[i].gva = gva_make(GVA_FIRST + i * GVA_ALIGN);
    }
    return s;
}

/* Two segments that a pool has named. */
static void fill(void)
{
    struct memdir_state s = sample();
    cr_assert_eq(memdir_renew(d, lens, 2), CENOTE_OK);
    cr_assert_eq(memdir_set_populated(d, 0, 4096), CENOTE_OK);
    cr_assert_eq(memdir_name(d, &s), CENOTE_OK);
    cr_assert_eq(memdir_set_populated(d, 1, 8192), CENOTE_OK);
}

static int recall(struct memdir_state *s)
{
    return memdir_recall(d, lens, 2, s);
}

static void write_at(const char *name, off_t at, const char *bytes, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDWR);
    cr_assert(fd >= 0);
    cr_assert_eq(pwrite(fd, bytes, len, at), (ssize_t)len);
    close(fd);
}

Test(memdir, recall__nothing)
{
    struct memdir_state s;
    cr_assert_eq(recall(&s), CENOTE_NOT_FOUND);
}

Test(memdir, recall__what_a_pool_has_named)
{
    struct memdir_state s;
    fill();
    reopen();
    cr_assert_eq(recall(&s), CENOTE_OK);
    cr_assert_eq(s.highest_reign, 7);
    cr_assert_eq(s.pool[2], 3);
    cr_assert_eq(s.segments[0].populated_bytes, 4096);
    cr_assert_eq(s.segments[1].populated_bytes, 8192);
    cr_assert_eq(s.segments[1].incarnation, 101);
    cr_assert_eq(s.segments[1].gva.v, GVA_FIRST + GVA_ALIGN);
    int fd = memdir_segment(d, 1);
    cr_assert(fd >= 0);
    cr_assert_eq(lseek(fd, 0, SEEK_END), (off_t)lens[1]);
    close(fd);
    cr_assert_eq(memdir_set_populated(d, 1, lens[1]), CENOTE_OK);
    reopen();
    cr_assert_eq(recall(&s), CENOTE_OK, "and again");
    cr_assert_eq(s.segments[1].populated_bytes, lens[1]);
}

Test(memdir, recall__not_what_no_pool_has_named)
{
    struct memdir_state s;
    cr_assert_eq(memdir_renew(d, lens, 2), CENOTE_OK);
    reopen();
    cr_assert_eq(recall(&s), CENOTE_NOT_FOUND);
}

/* Found by tests/sweep: what couldn't be looked at was thrown away. */
Test(memdir, recall__without_descriptors)
{
    struct memdir_state s;
    struct rlimit before, none;
    fill();
    reopen();
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int status = recall(&s);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(status, CENOTE_IO);
    cr_assert_eq(recall(&s), CENOTE_OK, "it is still there");
}

Test(memdir, recall__other_lengths)
{
    const uint64_t others[] = {lens[1], lens[0], lens[0]};
    struct memdir_state s;
    fill();
    reopen();
    cr_assert_eq(memdir_recall(d, others, 2, &s), CENOTE_NOT_FOUND);
    cr_assert_eq(memdir_recall(d, lens, 1, &s), CENOTE_NOT_FOUND);
    cr_assert_eq(memdir_recall(d, others, 3, &s), CENOTE_NOT_FOUND);
}

Test(memdir, recall__damaged)
{
    struct memdir_state s;
    fill();
    write_at("state", 700, "x", 1);
    reopen();
    cr_assert_eq(recall(&s), CENOTE_NOT_FOUND);
}

Test(memdir, recall__after_renewal_and_after_the_end)
{
    struct memdir_state s;
    fill();
    cr_assert_eq(memdir_renew(d, lens, 2), CENOTE_OK);
    reopen();
    cr_assert_eq(recall(&s), CENOTE_NOT_FOUND);
    fill();
    memdir_clear(d);
    reopen();
    cr_assert_eq(recall(&s), CENOTE_NOT_FOUND);
}

Test(memdir, open__locked_and_another_nodes)
{
    struct memdir *other;
    fill();
    cr_assert_eq(memdir_open(dir, "", "n1", &other), CENOTE_LOCKED);
    memdir_close(d);
    d = NULL;
    cr_assert_eq(memdir_open(dir, "", "n2", &other), CENOTE_INVALID);
    reopen();
}

Test(memdir, open__on_a_disk)
{
    struct memdir *other;
    char disk[] = "/var/tmp/cenote-test-XXXXXX";
    cr_assert_neq(mkdtemp(disk), NULL);
    cr_assert_eq(memdir_open(disk, "", "n1", &other), CENOTE_NOT_SUPPORTED);
    rmdir(disk);
}

Test(memdir, state__every_bit_counts)
{
    uint8_t bytes[MEMDIR_STATE_BYTES];
    struct memdir_owner owner = {.host = "h", .node = "n1"}, owner_read;
    struct memdir_state s = sample(), read;
    memdir_state_encode(&owner, &s, bytes);
    cr_assert_eq(memdir_state_decode(bytes, &owner_read, &read), CENOTE_OK);
    cr_assert_str_eq(owner_read.node, "n1");
    cr_assert_eq(read.segments[1].gva.v, s.segments[1].gva.v);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 0x10;
        cr_assert_neq(memdir_state_decode(bytes, &owner_read, &read), CENOTE_OK, "byte %zu", i);
        bytes[i] ^= 0x10;
    }
}

Test(memdir, state__nonsense_that_sums_up)
{
    uint8_t bytes[MEMDIR_STATE_BYTES];
    struct memdir_owner owner = {.host = "h", .node = "n1"};
    struct memdir_state read, bad[4] = {sample(), sample(), sample(), sample()};
    bad[0].segment_count = 0;
    bad[1].segments[0].incarnation = 0;
    bad[2].segments[0].gva.v = 5;
    bad[3].segments[1].populated_bytes = lens[1] + 1;
    for (size_t i = 0; i < 4; i++) {
        memdir_state_encode(&owner, &bad[i], bytes);
        cr_assert_eq(memdir_state_decode(bytes, &owner, &read), CENOTE_CORRUPT, "case %zu", i);
    }
    memset(bytes, 0, sizeof bytes);
    cr_assert_eq(memdir_state_decode(bytes, &owner, &read), CENOTE_CORRUPT);
}

/* The directory of extents goes with the contents. */
Test(memdir, directory)
{
    char path[128];
    struct memdir_state s;
    struct stat st;
    fill();
    int fd = memdir_directory(d);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, "entries", 7), 7);
    close(fd);
    reopen();
    cr_assert_eq(recall(&s), CENOTE_OK);
    fd = memdir_directory(d);
    cr_assert(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 7 && (st.st_mode & 077) == 0);
    close(fd);
    memdir_clear(d);
    snprintf(path, sizeof path, "%s/directory", dir);
    cr_assert_neq(access(path, F_OK), 0);
    fill();
    fd = memdir_directory(d);
    cr_assert(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 0, "a new one is empty");
    close(fd);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink("/dev/null", path), 0);
    cr_assert_eq(memdir_directory(d), CENOTE_IO);
}
