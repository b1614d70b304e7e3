/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/memory.h"
#include "transport/shm/file.h"

#define LEN (UINT64_C(4) << 20)

static const struct memory_ops *ops(void)
{
    return memory_ops_of(MEMORY_HOST);
}

Test(memory, make__anonymous_is_sealed)
{
    struct memory m;
    struct memory_how how = {.pages = MEMORY_PAGES_SMALL};
    cr_assert_eq(ops()->make(LEN, &how, &m), CENOTE_OK);
    cr_assert_neq(ftruncate(m.fd, 1), 0);
    cr_assert(shm_file_fits(m.fd, LEN));
    cr_assert(!shm_file_fits(m.fd, LEN + 1));
    cr_assert_eq(ops()->populate(&m, 0, LEN), CENOTE_OK);
    ops()->destroy(&m);
}

Test(memory, make__named_keeps_its_contents)
{
    char path[] = "/dev/shm/cenote-test-XXXXXX";
    struct memory m;
    struct memory_how how = {.named = true, .file = mkstemp(path)};
    cr_assert_eq(ftruncate(how.file, (off_t)LEN), 0);
    cr_assert_eq(ops()->make(LEN, &how, &m), CENOTE_OK);
    memset((uint8_t *)m.base + 12345, 7, 1000);
    ops()->destroy(&m);
    how.file = open(path, O_RDWR);
    cr_assert_eq(ops()->make(LEN, &how, &m), CENOTE_OK);
    cr_assert_eq(ops()->populate(&m, 0, LEN), CENOTE_OK);
    for (size_t i = 0; i < 1000; i++)
        cr_assert_eq(((uint8_t *)m.base)[12345 + i], 7);
    cr_assert(shm_file_fits(m.fd, LEN), "its owner's alone");
    cr_assert_eq(fchmod(m.fd, 0644), 0);
    cr_assert(!shm_file_fits(m.fd, LEN), "others could change it");
    ops()->destroy(&m);
    unlink(path);
}

Test(memory, file_fits__only_files_in_memory)
{
    char path[] = "/var/tmp/cenote-test-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_eq(ftruncate(fd, (off_t)LEN), 0);
    cr_assert(!shm_file_fits(fd, LEN));
    close(fd);
    unlink(path);
}

Test(memory, make__bad_lengths)
{
    struct memory m;
    struct memory_how how = {0};
    cr_assert_eq(ops()->make(0, &how, &m), CENOTE_INVALID);
    cr_assert_eq(ops()->make(UINT64_MAX, &how, &m), CENOTE_INVALID);
    how.pages = MEMORY_PAGES_2M;
    cr_assert_eq(ops()->make(LEN + 4096, &how, &m), CENOTE_INVALID);
}

Test(memory, make__more_huge_pages_than_there_are)
{
    struct memory m;
    struct memory_how how = {.pages = MEMORY_PAGES_2M};
    uint64_t page = memory_page_bytes(how.pages);
    int status = ops()->make((memory_huge_free(page) + 100000) * page, &how, &m);
    cr_assert(status == CENOTE_NO_MEMORY || status == CENOTE_NOT_SUPPORTED, "%d", status);
}

Test(memory, make__no_such_numa_node)
{
    struct memory m;
    struct memory_how how = {.bound = true, .numa_node = 1023};
    int status = ops()->make(LEN, &how, &m);
    cr_assert(status == CENOTE_INVALID || status == CENOTE_NOT_SUPPORTED, "%d", status);
    how.numa_node = 100000;
    cr_assert_eq(ops()->make(LEN, &how, &m), CENOTE_INVALID);
}
