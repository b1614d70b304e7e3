/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a database believed whose system has crashed while it was open with durability=process? The
 * store itself is asked (meta/store/dir.c), over a directory that really lies there, with boot ids
 * that are made up: once, as its answer depends on nothing else.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cenote/status.h>

#include "meta/store/dir.h"
#include "tests/sim/scene.h"

static void make_data(const struct dir *d)
{
    int fd = openat(d->fd, "data.mdb", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert(fd >= 0 && write(fd, "data", 4) == 4);
    close(fd);
}

static void remove_all(const char *path)
{
    static const char *const names[] = {"data.mdb", "state", "lock"};
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unlinkat(fd, names[i], 0);
    close(fd);
    rmdir(path);
}

static int ask(void)
{
    struct store_lmdb_options before = {.durability = STORE_PROCESS, .boot_id = "one"};
    struct store_lmdb_options after = {.durability = STORE_PROCESS, .boot_id = "two"};
    const char *under = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    struct dir d;
    char path[64];
    snprintf(path, sizeof path, "%s/cenote-sim-XXXXXX", under);
    char *made = mkdtemp(path);
    assert(made != NULL);
    int status = dir_open(&d, path, &before);
    assert(status == CENOTE_OK && d.phase == DIR_NEW);
    make_data(&d);
    status = dir_note(&d, DIR_OPEN);
    assert(status == CENOTE_OK);
    dir_close(&d);
    status = dir_open(&d, path, &after);
    if (status == CENOTE_OK)
        dir_close(&d);
    remove_all(path);
    return status;
}

bool crash_believed(void)
{
    static int status = 1;
    struct process *me = world_enter(NULL);
    if (status == 1)
        status = ask();
    world_enter(me);
    assert(status == CENOTE_OK || status == CENOTE_UNTRUSTED);
    return status == CENOTE_OK;
}
