/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/store/kit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/base/log.h"

/* ---- directories ---------------------------------------------------------------------------- */

void kit_dir_make(char out[64])
{
    snprintf(out, 64, "/tmp/cenote-store-XXXXXX");
    CHECK(mkdtemp(out));
    strcat(out, "/store");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void kit_dir_remove(const char *dir)
{
    char parent[64];
    snprintf(parent, sizeof(parent), "%s", dir);
    *strrchr(parent, '/') = 0;
    nftw(parent, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- the log -------------------------------------------------------------------------------- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[1024];

static void keep(void *arg, enum log_level level, const char *module, const char *text)
{
    (void)arg, (void)module;
    if (level > LOG_WARN)
        return;
    pthread_mutex_lock(&log_lock);
    snprintf(log_text, sizeof(log_text), "%s", text);
    pthread_mutex_unlock(&log_lock);
}

void kit_log_keep(void)
{
    log_set_sink(keep, NULL);
}

bool kit_said(const char *words)
{
    pthread_mutex_lock(&log_lock);
    bool said = strstr(log_text, words) != NULL;
    if (!said)
        fprintf(stderr, "the log says: %s\n", log_text);
    log_text[0] = 0;
    pthread_mutex_unlock(&log_lock);
    return said;
}

/* ---- keys and values ------------------------------------------------------------------------ */

struct kit_key kit_key_of(uint64_t n)
{
    struct kit_key key;
    for (unsigned i = 0; i < 8; i++)
        key.b[i] = (unsigned char)(n >> (56 - 8 * i));
    return key;
}

uint64_t kit_key_number(const void *key, uint32_t key_len)
{
    const unsigned char *b = key;
    uint64_t n = 0;
    CHECK(key_len == 8);
    for (unsigned i = 0; i < 8; i++)
        n = n << 8 | b[i];
    return n;
}

void kit_value_fill(uint64_t n, void *out, uint32_t len_bytes)
{
    struct kit_key key = kit_key_of(n);
    memset(out, (int)(n % 251), len_bytes);
    memcpy(out, key.b, len_bytes < 8 ? len_bytes : 8);
}

bool kit_value_valid(uint64_t n, const void *value, uint32_t len_bytes)
{
    const unsigned char *b = value;
    struct kit_key key = kit_key_of(n);
    for (uint32_t i = 0; i < len_bytes; i++)
        if (b[i] != (i < 8 ? key.b[i] : (unsigned char)(n % 251)))
            return false;
    return true;
}

/* ---- changes -------------------------------------------------------------------------------- */

void kit_done(void *arg, int status)
{
    struct kit_tally *t = arg;
    t->done++;
    t->ok += status == CENOTE_OK;
    t->full += status == CENOTE_META_FULL;
    t->io += status == CENOTE_IO;
}

void kit_submit(struct store *s, enum store_tree tree, uint64_t n, uint32_t len_bytes, int flags,
                struct kit_tally *tally)
{
    struct kit_key key = kit_key_of(n);
    void *value = malloc(len_bytes ? len_bytes : 1);
    CHECK(value);
    kit_value_fill(n, value, len_bytes);
    struct store_write w = {.tree = tree,
                            .remove = (flags & KIT_REMOVE) != 0,
                            .key = key.b,
                            .key_len = sizeof(key.b),
                            .value = value,
                            .value_len = len_bytes};
    s->ops->submit(s, &(struct store_change){.writes = &w,
                                             .count = 1,
                                             .frees = (flags & KIT_FREES) != 0,
                                             .sync = (flags & KIT_SYNC) != 0,
                                             .done = kit_done,
                                             .arg = tally});
    memset(value, 0, len_bytes);
    free(value);
}

void kit_wait(struct store *s, const struct kit_tally *tally, unsigned done)
{
    struct pollfd p = {.fd = store_lmdb_fd(s), .events = POLLIN};
    while (tally->done < done) {
        CHECK(poll(&p, 1, 60000) == 1);
        store_lmdb_dispatch(s);
    }
    CHECK(tally->ok + tally->full + tally->io == tally->done);
}

int kit_put(struct store *s, enum store_tree tree, uint64_t n, uint32_t len_bytes, int flags)
{
    struct kit_tally t = {0};
    kit_submit(s, tree, n, len_bytes, flags, &t);
    kit_wait(s, &t, 1);
    return t.ok ? CENOTE_OK : t.full ? CENOTE_META_FULL : CENOTE_IO;
}

static bool count_one(void *arg, const void *key, uint32_t key_len, const void *value,
                      uint32_t value_len)
{
    unsigned *count = arg;
    CHECK(kit_value_valid(kit_key_number(key, key_len), value, value_len));
    ++*count;
    return true;
}

unsigned kit_count(struct store *s, enum store_tree tree)
{
    unsigned count = 0;
    CHECK(s->ops->scan(s, tree, NULL, 0, count_one, &count) == CENOTE_OK);
    return count;
}

bool kit_has(struct store *s, enum store_tree tree, uint64_t n)
{
    struct kit_key key = kit_key_of(n);
    const void *value;
    uint32_t len;
    int rc = s->ops->get(s, tree, key.b, sizeof(key.b), &value, &len);
    CHECK(rc == CENOTE_OK || rc == CENOTE_NOT_FOUND);
    CHECK(rc != CENOTE_OK || kit_value_valid(n, value, len));
    return rc == CENOTE_OK;
}

struct store *kit_open(const char *dir, const struct store_lmdb_options *options)
{
    struct store *s = NULL;
    int rc = store_lmdb_open(dir, options, &s);
    if (rc != CENOTE_OK)
        fprintf(stderr, "%s: %s\n", dir, cenote_status_text(rc));
    CHECK(rc == CENOTE_OK);
    return s;
}

int kit_refused(const char *dir, const struct store_lmdb_options *options)
{
    struct store *s = NULL;
    int rc = store_lmdb_open(dir, options, &s);
    CHECK(rc != CENOTE_OK && !s);
    return rc;
}

/* ---- a file system of our own --------------------------------------------------------------- */

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Root may mount; everybody else where user namespaces are allowed. */
static bool namespace_enter(void)
{
    char map[32];
    snprintf(map, sizeof(map), "0 %u 1", getuid());
    if (unshare(CLONE_NEWNS) == 0)
        return true;
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_text("/proc/self/uid_map", map);
}

#define CANNOT_MOUNT 77

static void tmpfs_child(const char *dir, const char *size, void (*body)(const char *dir))
{
    char options[64];
    snprintf(options, sizeof(options), "size=%s,mode=0700", size);
    if (!namespace_enter() || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", dir, "tmpfs", 0, options) != 0)
        exit(CANNOT_MOUNT);
    body(dir);
    exit(0);
}

bool kit_in_tmpfs(const char *dir, const char *size, void (*body)(const char *dir))
{
    int status;
    CHECK(mkdir(dir, 0700) == 0 || errno == EEXIST);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        tmpfs_child(dir, size, body);
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT_MOUNT) {
        printf("SKIPPED, because no tmpfs can be mounted here: what happens on a full or "
               "read-only disk\n");
        return false;
    }
    CHECK(WEXITSTATUS(status) == 0);
    return true;
}
