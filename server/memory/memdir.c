/* SPDX-License-Identifier: Apache-2.0 */
#include "server/memory/memdir.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "meta/stub/rebuild.h"
#include "server/memory/machine.h"
#include "server/memory/memdir_state.h"
#include "transport/base/log.h"

#define PREFIX       "segment-"
#define FILE_NAME    PREFIX "%016" PRIx64
#define FILE_MAX     32
#define STATE        "state"
#define STATE_NEW    "state.new"
#define SLOTS        "slots"
#define DIRECTORY    "directory"
#define NOTES        "notes"
#define NOTES_NEW    "notes.new"
#define NOTES_HEAD   8u /* their checksum */
#define PRIVATE_MODE 0600

struct memdir {
    int dir;       /* locked; of the segments */
    int state_dir; /* locked too, if it is another; else the same number */
    int slots_dir;
    char path[PATH_MAX];
    char slots_path[PATH_MAX];
    uint64_t page_bytes;
    struct memdir_owner owner;
    pthread_mutex_t lock; /* of all below */
    bool named;           /* the state is written, and is to be kept */
    struct memdir_state state;
};

/* ---- directories ----------------------------------------------------------------------------- */

static int check_dir(int fd, const char *path, bool takes_hugetlbfs, uint64_t *page_bytes)
{
    struct stat st;
    struct statfs fs;
    if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0) {
        log_error("node", "cannot look at %s: %s", path, strerror(errno));
        return CENOTE_IO;
    }
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
        log_error("node", "%s isn't a directory of this user alone", path);
        return CENOTE_DENIED;
    }
    *page_bytes = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : 0;
    if (fs.f_type == TMPFS_MAGIC || (fs.f_type == HUGETLBFS_MAGIC && takes_hugetlbfs))
        return CENOTE_OK;
    if (fs.f_type == HUGETLBFS_MAGIC)
        log_error("node",
                  "%s is on a hugetlbfs, where files can't be written to: --memory-state-dir must "
                  "name a directory on a tmpfs",
                  path);
    else
        log_error("node", "%s isn't in memory: only tmpfs and hugetlbfs are", path);
    return CENOTE_NOT_SUPPORTED;
}

static int lock_dir(int fd, const char *path)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return CENOTE_OK;
    if (errno != EWOULDBLOCK) {
        log_error("node", "cannot lock %s: %s", path, strerror(errno));
        return CENOTE_IO;
    }
    log_error("node", "another process has its memory in %s", path);
    return CENOTE_LOCKED;
}

/* Made, judged and locked. A descriptor, or a status. */
static int open_dir(const char *path, bool takes_hugetlbfs, uint64_t *page_bytes)
{
    int status = machine_make_dir(path);
    if (status != CENOTE_OK)
        return status;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        log_error("node", "cannot open %s: %s", path, strerror(errno));
        return CENOTE_IO;
    }
    status = check_dir(fd, path, takes_hugetlbfs, page_bytes);
    if (status == CENOTE_OK)
        status = lock_dir(fd, path);
    if (status == CENOTE_OK)
        return fd;
    close(fd);
    return status;
}

static int open_slots(struct memdir *d, const char *state_path)
{
    if (snprintf(d->slots_path, sizeof d->slots_path, "%s/" SLOTS, state_path) >=
        (int)sizeof d->slots_path) {
        log_error("node", "the path %.64s... is too long", state_path);
        return CENOTE_INVALID;
    }
    if (mkdirat(d->state_dir, SLOTS, 0700) == 0 || errno == EEXIST)
        d->slots_dir = openat(d->state_dir, SLOTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (d->slots_dir >= 0)
        return CENOTE_OK;
    log_error("node", "cannot make %s: %s", d->slots_path, strerror(errno));
    return CENOTE_IO;
}

/* ---- files ----------------------------------------------------------------------------------- */

static void file_name(uint64_t file, char out[FILE_MAX])
{
    snprintf(out, FILE_MAX, FILE_NAME, file);
}

/* Removes the files whose names begin so. */
static void remove_files(int fd, const char *prefix)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL) {
        log_warn("node", "cannot look for old files %s*: %s", prefix, strerror(errno));
        if (copy >= 0)
            close(copy);
        return;
    }
    rewinddir(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        if (e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0 &&
            unlinkat(fd, e->d_name, 0) != 0)
            log_warn("node", "cannot remove %s: %s", e->d_name, strerror(errno));
    closedir(dir);
}

/* The state first: without it the rest is nothing. */
static void clear_files(struct memdir *d)
{
    d->named = false;
    remove_files(d->state_dir, STATE);
    remove_files(d->state_dir, DIRECTORY);
    remove_files(d->state_dir, NOTES);
    remove_files(d->dir, PREFIX);
    remove_files(d->slots_dir, "");
}

/* Its descriptor; CENOTE_NOT_FOUND: there is none that was ours. */
static int open_segment(const struct memdir *d, const struct memdir_segment *s)
{
    char name[FILE_MAX];
    struct stat st;
    file_name(s->file, name);
    int fd = openat(d->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP ? CENOTE_NOT_FOUND : CENOTE_IO;
    bool known = fstat(fd, &st) == 0;
    if (known && S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0 &&
        st.st_size >= 0 && (uint64_t)st.st_size == s->len_bytes)
        return fd;
    int error = errno;
    close(fd);
    errno = known ? EINVAL : error;
    return known ? CENOTE_NOT_FOUND : CENOTE_IO;
}

/* ---- the state ------------------------------------------------------------------------------- */

static int write_state(const struct memdir *d)
{
    uint8_t bytes[MEMDIR_STATE_BYTES];
    memdir_state_encode(&d->owner, &d->state, bytes);
    int fd = openat(d->state_dir, STATE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                    PRIVATE_MODE);
    bool good = fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes;
    if (fd >= 0)
        close(fd);
    if (good && renameat(d->state_dir, STATE_NEW, d->state_dir, STATE) == 0)
        return CENOTE_OK;
    log_error("node", "cannot write the state beside %s: %s", d->path, strerror(errno));
    return CENOTE_IO;
}

/* CENOTE_NOT_FOUND: there is none. */
static int read_state(const struct memdir *d, struct memdir_owner *owner,
                      struct memdir_state *state)
{
    uint8_t bytes[MEMDIR_STATE_BYTES + 1];
    int fd = openat(d->state_dir, STATE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? CENOTE_NOT_FOUND : CENOTE_IO;
    ssize_t n = read(fd, bytes, sizeof bytes);
    int error = errno;
    close(fd);
    errno = error;
    if (n < 0)
        return CENOTE_IO;
    return n == MEMDIR_STATE_BYTES ? memdir_state_decode(bytes, owner, state) : CENOTE_CORRUPT;
}

/* Memory under another name may be that of a node which is to come back. */
static int check_owner(const struct memdir *d)
{
    struct memdir_owner owner;
    struct memdir_state state;
    if (read_state(d, &owner, &state) != CENOTE_OK || strcmp(owner.node, d->owner.node) == 0)
        return CENOTE_OK;
    log_error("node", "%s holds the memory of node %s, not of %s: remove it if it isn't wanted",
              d->path, owner.node, d->owner.node);
    return CENOTE_INVALID;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static void close_dirs(struct memdir *d)
{
    if (d->slots_dir >= 0)
        close(d->slots_dir);
    if (d->state_dir >= 0 && d->state_dir != d->dir)
        close(d->state_dir);
    if (d->dir >= 0)
        close(d->dir);
}

static int open_dirs(struct memdir *d, const char *state_path)
{
    uint64_t none;
    bool apart = state_path[0] != '\0' && strcmp(state_path, d->path) != 0;
    d->dir = open_dir(d->path, apart, &d->page_bytes);
    if (d->dir < 0)
        return d->dir;
    d->state_dir = apart ? open_dir(state_path, false, &none) : d->dir;
    if (d->state_dir < 0)
        return d->state_dir;
    int status = open_slots(d, apart ? state_path : d->path);
    return status == CENOTE_OK ? check_owner(d) : status;
}

int memdir_open(const char *dir, const char *state_dir, const char *node_name, struct memdir **out)
{
    struct memdir *d = calloc(1, sizeof *d);
    if (d == NULL)
        return CENOTE_NO_MEMORY;
    d->dir = d->state_dir = d->slots_dir = -1;
    assert(strlen(node_name) < sizeof d->owner.node);
    memcpy(d->owner.node, node_name, strlen(node_name));
    xcopy_this_host(d->owner.host);
    int status = CENOTE_INVALID;
    if (snprintf(d->path, sizeof d->path, "%s", dir) < (int)sizeof d->path)
        status = open_dirs(d, state_dir);
    if (status != CENOTE_OK) {
        close_dirs(d);
        free(d);
        return status;
    }
    pthread_mutex_init(&d->lock, NULL);
    *out = d;
    return CENOTE_OK;
}

void memdir_close(struct memdir *d)
{
    if (d == NULL)
        return;
    if (!d->named && d->state.segment_count > 0)
        clear_files(d);
    pthread_mutex_destroy(&d->lock);
    close_dirs(d);
    free(d);
}

uint64_t memdir_page_bytes(const struct memdir *d)
{
    return d->page_bytes;
}

const char *memdir_slots(const struct memdir *d)
{
    return d->slots_path;
}

/* ---- contents -------------------------------------------------------------------------------- */

static bool lengths_are(const struct memdir_state *state, const uint64_t *lens_bytes,
                        uint32_t count)
{
    bool same = state->segment_count == count;
    for (uint32_t i = 0; same && i < count; i++)
        same = state->segments[i].len_bytes == lens_bytes[i];
    return same;
}

static int find_segments(const struct memdir *d, const struct memdir_state *state)
{
    for (uint32_t i = 0; i < state->segment_count; i++) {
        int fd = open_segment(d, &state->segments[i]);
        if (fd < 0)
            return fd;
        close(fd);
    }
    return CENOTE_OK;
}

/* Why the state is nothing; NULL: it can be taken over. */
static const char *judge(const struct memdir *d, int status, const struct memdir_owner *owner,
                         const struct memdir_state *state, const uint64_t *lens_bytes,
                         uint32_t count)
{
    if (status == CENOTE_VERSION)
        return "its state is of another version";
    if (status != CENOTE_OK)
        return "its state is damaged";
    if (memcmp(owner->host, d->owner.host, sizeof owner->host) != 0)
        return "it was another machine's, or this one has started anew";
    if (!lengths_are(state, lens_bytes, count))
        return "its segments have other lengths than those asked for";
    return NULL;
}

/* There may be something, and it can't be looked at now: it must not be thrown away for that. */
static int unreadable(const struct memdir *d)
{
    log_error("node", "the memory in %s can't be looked at: %s", d->path, strerror(errno));
    return CENOTE_IO;
}

int memdir_recall(struct memdir *d, const uint64_t *lens_bytes, uint32_t count,
                  struct memdir_state *out)
{
    struct memdir_owner owner;
    struct memdir_state state;
    int status = read_state(d, &owner, &state);
    if (status == CENOTE_NOT_FOUND)
        return status;
    if (status == CENOTE_IO)
        return unreadable(d);
    const char *why = judge(d, status, &owner, &state, lens_bytes, count);
    status = why == NULL ? find_segments(d, &state) : CENOTE_OK;
    if (status == CENOTE_IO)
        return unreadable(d);
    if (status != CENOTE_OK)
        why = "a segment's file is missing or has another length";
    if (why != NULL) {
        log_warn("node", "the memory in %s can't be taken over: %s; beginning with empty memory",
                 d->path, why);
        return CENOTE_NOT_FOUND;
    }
    pthread_mutex_lock(&d->lock);
    d->state = state;
    d->named = true;
    pthread_mutex_unlock(&d->lock);
    *out = state;
    return CENOTE_OK;
}

static int check_room(const struct memdir *d, const uint64_t *lens_bytes, uint32_t count)
{
    struct statfs fs;
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < count; i++)
        wanted += lens_bytes[i];
    if (fstatfs(d->dir, &fs) != 0 || fs.f_blocks == 0)
        return CENOTE_OK; /* without a limit of its own */
    uint64_t room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
    if (wanted <= room)
        return CENOTE_OK;
    log_error("node", "%s has room for %llu MiB, --dram asks for %llu MiB", d->path,
              (unsigned long long)(room >> 20), (unsigned long long)(wanted >> 20));
    return CENOTE_NO_SPACE;
}

static int make_file(const struct memdir *d, struct memdir_segment *s)
{
    char name[FILE_MAX];
    s->file = hash_random_u64();
    file_name(s->file, name);
    int fd = openat(d->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, PRIVATE_MODE);
    bool good = fd >= 0 && ftruncate(fd, (off_t)s->len_bytes) == 0;
    if (!good)
        log_error("node", "cannot make a file of %llu bytes in %s: %s",
                  (unsigned long long)s->len_bytes, d->path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return good ? CENOTE_OK : CENOTE_IO;
}

int memdir_renew(struct memdir *d, const uint64_t *lens_bytes, uint32_t count)
{
    assert(count <= SEGMENTS_MAX);
    pthread_mutex_lock(&d->lock);
    clear_files(d);
    d->state = (struct memdir_state){.segment_count = count};
    int status = check_room(d, lens_bytes, count);
    for (uint32_t i = 0; i < count && status == CENOTE_OK; i++) {
        d->state.segments[i].len_bytes = lens_bytes[i];
        status = make_file(d, &d->state.segments[i]);
    }
    pthread_mutex_unlock(&d->lock);
    return status;
}

int memdir_segment(const struct memdir *d, uint32_t segment)
{
    assert(segment < d->state.segment_count);
    int fd = open_segment(d, &d->state.segments[segment]);
    if (fd < 0)
        log_error("node", "cannot open segment %u in %s: %s", (unsigned)segment, d->path,
                  strerror(errno));
    return fd;
}

int memdir_directory(const struct memdir *d)
{
    struct stat st;
    int fd =
        openat(d->state_dir, DIRECTORY, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, PRIVATE_MODE);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        (st.st_mode & 077) == 0)
        return fd;
    log_error("node", "cannot use " DIRECTORY " beside %s: %s", d->path,
              fd < 0 ? strerror(errno) : "not a file of this user alone");
    if (fd >= 0)
        close(fd);
    return CENOTE_IO;
}

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno != EINTR)
            return false;
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

int memdir_note(struct memdir *d, const void *notes, size_t len_bytes)
{
    uint64_t check = hash_xxh3(notes, len_bytes);
    int fd = openat(d->state_dir, NOTES_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                    PRIVATE_MODE);
    bool good = fd >= 0 && write_all(fd, (const uint8_t *)&check, sizeof check) &&
                write_all(fd, notes, len_bytes);
    if (fd >= 0)
        close(fd);
    if (good && renameat(d->state_dir, NOTES_NEW, d->state_dir, NOTES) == 0)
        return CENOTE_OK;
    log_error("node", "cannot write the service's notes beside %s: %s", d->path, strerror(errno));
    return CENOTE_IO;
}

/* Its length is that of the file. */
static bool read_notes(int fd, uint8_t *bytes, size_t len)
{
    uint64_t check;
    if (read(fd, bytes, len) != (ssize_t)len)
        return false;
    memcpy(&check, bytes, sizeof check);
    return check == hash_xxh3(bytes + NOTES_HEAD, len - NOTES_HEAD);
}

bool memdir_notes(const struct memdir *d, void **notes, size_t *len_bytes)
{
    struct stat st;
    uint8_t *bytes = NULL;
    int fd = openat(d->state_dir, NOTES, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    bool good = fstat(fd, &st) == 0 && st.st_size > NOTES_HEAD &&
                st.st_size <= (off_t)(NOTES_HEAD + NOTES_BYTES_MAX) &&
                (bytes = malloc((size_t)st.st_size)) != NULL &&
                read_notes(fd, bytes, (size_t)st.st_size);
    close(fd);
    if (!good) {
        log_warn("node", "the service's notes beside %s can't be read", d->path);
        free(bytes);
        return false;
    }
    *len_bytes = (size_t)st.st_size - NOTES_HEAD;
    memmove(bytes, bytes + NOTES_HEAD, *len_bytes);
    *notes = bytes;
    return true;
}

int memdir_name(struct memdir *d, const struct memdir_state *state)
{
    pthread_mutex_lock(&d->lock);
    assert(state->segment_count == d->state.segment_count);
    memcpy(d->state.pool, state->pool, sizeof d->state.pool);
    d->state.highest_reign = state->highest_reign;
    d->state.service_life = state->service_life;
    for (uint32_t i = 0; i < state->segment_count; i++) {
        d->state.segments[i].incarnation = state->segments[i].incarnation;
        d->state.segments[i].gva = state->segments[i].gva;
    }
    int status = write_state(d);
    d->named = status == CENOTE_OK;
    if (!d->named)
        (void)unlinkat(d->state_dir, STATE, 0); /* an older one must not be believed */
    pthread_mutex_unlock(&d->lock);
    return status;
}

int memdir_set_populated(struct memdir *d, uint32_t segment, uint64_t bytes)
{
    int status = CENOTE_OK;
    pthread_mutex_lock(&d->lock);
    assert(segment < d->state.segment_count);
    if (bytes > d->state.segments[segment].populated_bytes) {
        d->state.segments[segment].populated_bytes = bytes;
        if (d->named)
            status = write_state(d);
    }
    pthread_mutex_unlock(&d->lock);
    return status;
}

void memdir_clear(struct memdir *d)
{
    pthread_mutex_lock(&d->lock);
    clear_files(d);
    d->state.segment_count = 0;
    pthread_mutex_unlock(&d->lock);
}
