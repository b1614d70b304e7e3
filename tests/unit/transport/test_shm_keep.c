/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of slots that a node can't look at, for once. Linked with --wrap. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/shm/keep.h"
#include "transport/shm/slots.h"

/* As keep.c writes it: of a session, and a process that has ended. */
#define NAME                                                                                       \
    "slots2-0000000000000001-0000000000000001-0000000000000001-0000000000000001-0000000000000001"

static enum { NOTHING, READDIR, FSTATFS } refused; /* the next one */
static char dir[] = "/dev/shm/cenote-keep-XXXXXX";

struct dirent *__real_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d)
{
    if (refused != READDIR)
        return __real_readdir(d);
    refused = NOTHING;
    errno = EIO;
    return NULL;
}

int __real_fstatfs(int fd, struct statfs *fs);
int __wrap_fstatfs(int fd, struct statfs *fs);
int __wrap_fstatfs(int fd, struct statfs *fs)
{
    if (refused != FSTATFS)
        return __real_fstatfs(fd, fs);
    refused = NOTHING;
    errno = EIO;
    return -1;
}

static void leave_slots(void)
{
    struct slots *slots;
    cr_assert(mkdtemp(dir));
    int at = open(dir, O_RDONLY | O_DIRECTORY);
    int fd = openat(at, NAME, O_RDWR | O_CREAT, 0600);
    cr_assert_eq(slots_make_in(fd, &slots), CENOTE_OK);
    slots_unmap(slots);
    close(fd);
    close(at);
}

/* Opened while what is set is refused, and again. */
static void check_opens(void)
{
    struct shm_exporter e = {.gate = {.slots_dir = dir}, .wake = -1, .listener = -1};
    char file[256];
    snprintf(file, sizeof file, "%s/" NAME, dir);
    cr_assert_eq(shm_keep_open(&e), CENOTE_IO);
    cr_assert_eq(refused, NOTHING);
    cr_assert_eq(access(file, F_OK), 0);
    cr_assert_eq(shm_keep_open(&e), CENOTE_OK);
    cr_assert_neq(access(file, F_OK), 0, "nobody writes there");
    shm_keep_close(&e);
    rmdir(dir);
}

/* It was taken for the directory's end: writers of an earlier life stayed unknown. */
Test(shm_keep, open__directory_unreadable)
{
    leave_slots();
    refused = READDIR;
    check_opens();
}

/* It was taken for somebody else's file, and the memory of the earlier life was thrown away. */
Test(shm_keep, open__file_not_looked_at)
{
    leave_slots();
    refused = FSTATFS;
    check_opens();
}
