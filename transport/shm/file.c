/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/file.h"

#include <cenote/status.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static int is_ours_alone(int fd, const struct stat *st)
{
    struct statfs fs;
    if (!S_ISREG(st->st_mode) || (st->st_mode & 077) != 0 ||
        (st->st_uid != geteuid() && st->st_uid != 0))
        return CENOTE_PROTOCOL;
    if (fstatfs(fd, &fs) != 0)
        return CENOTE_IO;
    return fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC ? CENOTE_OK : CENOTE_PROTOCOL;
}

int shm_file_look(int fd, uint64_t len_bytes)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (fstat(fd, &st) != 0)
        return CENOTE_IO;
    if (len_bytes == 0 || st.st_size < 0 || (uint64_t)st.st_size < len_bytes)
        return CENOTE_PROTOCOL;
    return seals >= 0 && (seals & F_SEAL_SHRINK) != 0 ? CENOTE_OK : is_ours_alone(fd, &st);
}

bool shm_file_fits(int fd, uint64_t len_bytes)
{
    return shm_file_look(fd, len_bytes) == CENOTE_OK;
}
