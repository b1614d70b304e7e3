/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static bool is_ours_alone(int fd, const struct stat *st)
{
    struct statfs fs;
    return S_ISREG(st->st_mode) && (st->st_mode & 077) == 0 &&
           (st->st_uid == geteuid() || st->st_uid == 0) && fstatfs(fd, &fs) == 0 &&
           (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

bool shm_file_fits(int fd, uint64_t len_bytes)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (len_bytes == 0 || fstat(fd, &st) != 0 || st.st_size < 0 || (uint64_t)st.st_size < len_bytes)
        return false;
    return (seals >= 0 && (seals & F_SEAL_SHRINK) != 0) || is_ours_alone(fd, &st);
}
