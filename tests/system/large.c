/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One very large value from and to memory, through the public interface.
 *
 *   large file PATH LENGTH ID           writes the value into a file
 *   large check PATH LENGTH ID          compares a file with the value ("-": stdin)
 *   large put|get ENDPOINT shm|tcp|rdma KEY LENGTH ID
 */
#include <cenote/cenote.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/payload.h"
#include "tests/scenario/check.h"
#include "tests/support/transport.h"

#define BLOCK (1u << 20) /* a file is a sequence of blocks id, id + 1, ... */

static size_t block_len(size_t len, size_t at)
{
    return len - at < BLOCK ? len - at : BLOCK;
}

static void fill(uint64_t id, uint8_t *to, size_t len)
{
    for (size_t at = 0; at < len; at += BLOCK)
        payload_fill(id + at / BLOCK, to + at, block_len(len, at));
}

static void check_all(uint64_t id, const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len; at += BLOCK)
        CHECK(payload_is(id + at / BLOCK, data + at, block_len(len, at)));
}

static void write_file(const char *path, size_t len, uint64_t id)
{
    static uint8_t block[BLOCK];
    FILE *f = fopen(path, "wb");

    CHECK(f != NULL);
    for (size_t at = 0; at < len; at += BLOCK) {
        fill(id + at / BLOCK, block, block_len(len, at));
        CHECK_EQ(fwrite(block, 1, block_len(len, at), f), block_len(len, at));
    }
    CHECK_EQ(fclose(f), 0);
}

static void check_file(const char *path, size_t len, uint64_t id)
{
    static uint8_t block[BLOCK];
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");

    CHECK(f != NULL);
    for (size_t at = 0; at < len; at += BLOCK) {
        CHECK_EQ(fread(block, 1, block_len(len, at), f), block_len(len, at));
        check_all(id + at / BLOCK, block, block_len(len, at));
    }
    CHECK_EQ(fread(block, 1, 1, f), 0);
    CHECK_EQ(fclose(f), 0);
}

static void copy(char **argv, size_t len, uint64_t id)
{
    struct cenote *client = NULL;
    uint64_t found = 0;
    struct cenote_options options = {.meta = argv[2], .transport = transport_named(argv[3])};
    uint8_t *value = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(value != MAP_FAILED);
    CHECK_EQ(cenote_open(&options, &client), CENOTE_OK);
    if (strcmp(argv[1], "put") == 0) {
        fill(id, value, len);
        CHECK_EQ(cenote_put(client, argv[4], strlen(argv[4]), value, len, 0), CENOTE_OK);
    } else {
        CHECK_EQ(cenote_get(client, argv[4], strlen(argv[4]), value, len, &found), CENOTE_OK);
        CHECK_EQ(found, len);
        check_all(id, value, len);
    }
    cenote_close(&client);
    CHECK_EQ(munmap(value, len), 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 5 || argc == 7);
    size_t len = strtoull(argv[argc - 2], NULL, 10);
    uint64_t id = strtoull(argv[argc - 1], NULL, 10);

    if (argc == 7)
        copy(argv, len, id);
    else if (strcmp(argv[1], "file") == 0)
        write_file(argv[2], len, id);
    else
        check_file(argv[2], len, id);
    return 0;
}
