/* SPDX-License-Identifier: Apache-2.0 */
#include "server/memory/shm_dir.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/memory/machine.h"
#include "transport/base/endpoint.h"
#include "transport/base/log.h"

#define SUFFIX ".sock"

static void default_dir(char *out, size_t size)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && runtime[0] == '/')
        snprintf(out, size, "%s/cenote", runtime);
    else
        snprintf(out, size, "/tmp/cenote-%u", (unsigned)geteuid());
}

/* In /tmp anybody could have made it first. */
static int check_owner(const char *dir)
{
    struct stat st;
    if (lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
        (st.st_mode & 022) == 0)
        return CENOTE_OK;
    log_error("node", "%s isn't a directory of this user alone: --shm-dir names another", dir);
    return CENOTE_DENIED;
}

/* ---- what dead nodes left -------------------------------------------------------------------- */

static bool nobody_listens(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof at.sun_path)
        return false;
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool refused =
        connect(fd, (const struct sockaddr *)&at, sizeof at) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static bool is_stale(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == geteuid() &&
           time(NULL) - st.st_ctime > SHM_DIR_STALE_SECONDS && nobody_listens(path);
}

static void sweep(const char *dir)
{
    char path[PATH_MAX];
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        size_t len = strlen(e->d_name);
        if (len <= strlen(SUFFIX) || strcmp(e->d_name + len - strlen(SUFFIX), SUFFIX) != 0)
            continue;
        if (snprintf(path, sizeof path, "%s/%s", dir, e->d_name) < (int)sizeof path &&
            is_stale(path))
            unlink(path);
    }
    closedir(d);
}

/* ---- the socket ------------------------------------------------------------------------------ */

int shm_dir_prepare(const char *dir, const char *node_name, char endpoint[XCOPY_ENDPOINT_MAX])
{
    char chosen[PATH_MAX];
    char path[XCOPY_ENDPOINT_MAX];
    struct endpoint e;
    bool given = dir[0] != '\0';
    if (given)
        snprintf(chosen, sizeof chosen, "%s", dir);
    else
        default_dir(chosen, sizeof chosen);
    int status = machine_make_dir(chosen);
    if (status == CENOTE_OK && !given)
        status = check_owner(chosen);
    if (status != CENOTE_OK)
        return status;
    int len = snprintf(path, sizeof path, "unix:%s/%s" SUFFIX, chosen, node_name);
    if (len >= (int)sizeof path || endpoint_parse(path, &e) != CENOTE_OK) {
        log_error("node",
                  "%s/%s" SUFFIX " is too long for a socket: shorten --shm-dir or "
                  "--node-name",
                  chosen, node_name);
        return CENOTE_INVALID;
    }
    sweep(chosen);
    memcpy(endpoint, path, sizeof path);
    return CENOTE_OK;
}
