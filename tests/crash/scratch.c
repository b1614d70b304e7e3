/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/scenario/check.h"

void scratch_make(char out[DISK_PATH_MAX])
{
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(out, DISK_PATH_MAX, "%s/cenote-crash-XXXXXX", parent);
    CHECK(mkdtemp(out) != NULL);
    strcat(out, "/data");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void scratch_remove(const char *dir)
{
    char parent[DISK_PATH_MAX];
    snprintf(parent, sizeof(parent), "%s", dir);
    *strrchr(parent, '/') = 0;
    nftw(parent, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
