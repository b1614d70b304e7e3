/* SPDX-License-Identifier: Apache-2.0 */
/* Directories that must not be opened, each with the reason. */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cenote/status.h>

#include "tests/scenario/store/kit.h"

static const struct store_lmdb_options process_mode = {.map_size_bytes = 4 << 20,
                                                       .boot_id = "boot-1"};
static const struct store_lmdb_options sync_mode = {
    .map_size_bytes = 4 << 20, .durability = STORE_SYNC, .boot_id = "boot-1"};

static void file_put(const char *dir, const char *name, const void *data, size_t len_bytes)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, data, len_bytes) == (ssize_t)len_bytes && close(fd) == 0);
}

static void file_cut(const char *dir, const char *name, off_t len_bytes)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    CHECK(truncate(path, len_bytes) == 0);
}

/* A directory with one value in it, whose owner has died (or closed it). */
static void owner_leave(const char *dir, const struct store_lmdb_options *options, bool clean)
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct store *s = kit_open(dir, options);
        CHECK(kit_put(s, STORE_META, 1, 8, 0) == CENOTE_OK);
        if (clean)
            store_lmdb_close(s);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void opens_with_value(const char *dir, const struct store_lmdb_options *options)
{
    struct store *s = kit_open(dir, options);
    CHECK(kit_has(s, STORE_META, 1));
    store_lmdb_close(s);
}

static void locked(const char *dir)
{
    int status;
    struct store *s = kit_open(dir, &process_mode);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_LOCKED);
    CHECK(kit_said("in use by another process"));
    store_lmdb_close(s);
    s = kit_open(dir, &process_mode);
    store_lmdb_close(s);

    int gate[2];
    CHECK(pipe2(gate, O_CLOEXEC) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        s = kit_open(dir, &process_mode);
        CHECK(write(gate[1], "x", 1) == 1);
        for (;;)
            pause();
    }
    char x;
    CHECK(read(gate[0], &x, 1) == 1);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_LOCKED);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    s = kit_open(dir, &process_mode); /* the lock died with it */
    store_lmdb_close(s);
    close(gate[0]);
    close(gate[1]);
}

static void formats(const char *dir)
{
    static const char newer[] = "cenote-store format=3 something=else\n";
    static const char odd[] = "cenote-store format=2 phase=flying durability=process boot=x\n";
    unsigned char garbage[20000];
    memset(garbage, 0xa5, sizeof(garbage));
    owner_leave(dir, &process_mode, true);
    file_put(dir, "state", newer, sizeof(newer) - 1);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_FORMAT && kit_said("format version 3"));
    file_put(dir, "state", odd, sizeof(odd) - 1);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_FORMAT && kit_said("malformed"));
    file_put(dir, "state", garbage, 100);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_FORMAT && kit_said("not a state file"));
    file_put(dir, "state", "", 0);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_FORMAT && kit_said("no state file"));
}

static void garbage_data(const char *dir)
{
    unsigned char garbage[20000];
    memset(garbage, 0xa5, sizeof(garbage));
    owner_leave(dir, &process_mode, true);
    file_put(dir, "data.mdb", garbage, sizeof(garbage));
    CHECK(kit_refused(dir, &process_mode) == CENOTE_FORMAT && kit_said("data.mdb"));
    file_put(dir, "data.mdb", garbage, 100);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_FORMAT);
    file_cut(dir, "data.mdb", 0);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_IO && kit_said("missing"));
}

/* Somebody else's LMDB file. */
static void foreign_data(const char *dir)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi tree;
    char path[128];
    MDB_val v = {.mv_size = 4, .mv_data = "meta"};
    owner_leave(dir, &process_mode, true);
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    CHECK(unlink(path) == 0);
    CHECK(mdb_env_create(&env) == 0 && mdb_env_open(env, dir, 0, 0600) == 0);
    CHECK(mdb_txn_begin(env, NULL, 0, &txn) == 0 && mdb_dbi_open(txn, NULL, 0, &tree) == 0);
    CHECK(mdb_put(txn, tree, &v, &v, 0) == 0 && mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_FORMAT && kit_said("not this program's"));
}

static bool ignore_all(void *arg, const void *key, uint32_t key_len, const void *value,
                       uint32_t value_len)
{
    (void)arg, (void)key, (void)key_len, (void)value, (void)value_len;
    return true;
}

/* The file's end is gone: an error, no signal. */
static void truncated_data(const char *dir)
{
    struct store *s = kit_open(dir, &process_mode);
    for (uint64_t n = 0; n < 500; n++)
        CHECK(kit_put(s, STORE_OBJECTS, n, 1000, 0) == CENOTE_OK);
    store_lmdb_close(s);
    file_cut(dir, "data.mdb", 5 * 4096);
    s = NULL;
    if (store_lmdb_open(dir, &process_mode, &s) != CENOTE_OK)
        return;
    int worst = CENOTE_OK;
    for (int tree = 0; tree < STORE_TREES; tree++) {
        int rc = s->ops->scan(s, (enum store_tree)tree, NULL, 0, ignore_all, NULL);
        worst = rc != CENOTE_OK ? rc : worst;
    }
    CHECK(worst == CENOTE_IO);
    store_lmdb_close(s);
}

static void untrusted(const char *dir)
{
    struct store_lmdb_options process_2 = process_mode, sync_2 = sync_mode;
    process_2.boot_id = sync_2.boot_id = "boot-2";
    owner_leave(dir, &process_mode, false);
    opens_with_value(dir, &process_mode); /* the same boot: nothing is lost */
    opens_with_value(dir, &process_2);    /* closed cleanly */
    owner_leave(dir, &process_2, false);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_UNTRUSTED);
    CHECK(kit_said("Start with --rebuild"));
    CHECK(kit_refused(dir, &sync_mode) == CENOTE_UNTRUSTED);
    opens_with_value(dir, &process_2); /* and it was left alone */
    owner_leave(dir, &sync_2, false);
    opens_with_value(dir, &process_mode); /* every commit of the last owner was synced */
    /* A boot that can't be known is never the same. */
    struct store_lmdb_options nowhere = process_mode;
    nowhere.boot_id = "unknown";
    owner_leave(dir, &nowhere, false);
    CHECK(kit_refused(dir, &nowhere) == CENOTE_UNTRUSTED);
}

/* A creation that was cut short is done again: nothing was in it. */
static void half_made(const char *dir)
{
    static const char fresh[] = "cenote-store format=2 phase=new durability=process boot=boot-1\n";
    owner_leave(dir, &process_mode, true);
    file_put(dir, "state", fresh, sizeof(fresh) - 1);
    file_cut(dir, "data.mdb", 3000);
    struct store *s = kit_open(dir, &process_mode);
    CHECK(!kit_has(s, STORE_META, 1));
    store_lmdb_close(s);
    file_cut(dir, "state", 0); /* made, but never written: only before there was a data.mdb */
    file_cut(dir, "data.mdb", 0);
    s = kit_open(dir, &process_mode);
    store_lmdb_close(s);
}

static void arguments(const char *dir)
{
    char below[100];
    struct store_lmdb_options small = {.map_size_bytes = 4096};
    CHECK(kit_refused(dir, &small) == CENOTE_INVALID && kit_said("too small"));
    snprintf(below, sizeof(below), "%s/missing/dir", dir);
    CHECK(kit_refused(below, &process_mode) == CENOTE_IO && kit_said("No such file"));
    CHECK(mkdir(dir, 0700) == 0);
    file_put(dir, "file", "x", 1);
    snprintf(below, sizeof(below), "%s/file", dir);
    CHECK(kit_refused(below, &process_mode) == CENOTE_IO && kit_said("Not a directory"));
}

static void read_only_disk(const char *disk)
{
    char dir[80];
    snprintf(dir, sizeof(dir), "%s/data", disk);
    owner_leave(dir, &process_mode, true);
    CHECK(mount("none", disk, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL) == 0);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_READ_ONLY && kit_said("Read-only file"));
    snprintf(dir, sizeof(dir), "%s/other", disk);
    CHECK(kit_refused(dir, &process_mode) == CENOTE_READ_ONLY);
}

/* Another user's directory. Root gives up its rights first. */
static void read_only_rights(const char *dir)
{
    int status;
    owner_leave(dir, &process_mode, true);
    CHECK(chmod(dir, 0555) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char parent[64];
        snprintf(parent, sizeof(parent), "%s/..", dir);
        if (getuid() == 0)
            CHECK(chmod(parent, 0755) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
        CHECK(kit_refused(dir, &process_mode) == CENOTE_READ_ONLY);
        CHECK(kit_said("Permission denied"));
        exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(chmod(dir, 0700) == 0);
}

int main(void)
{
    void (*const cases[])(const char *dir) = {
        arguments,      locked,    formats,   garbage_data,     foreign_data,
        truncated_data, untrusted, half_made, read_only_rights,
    };
    char dir[64];
    kit_log_keep();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kit_dir_make(dir);
        cases[i](dir);
        kit_dir_remove(dir);
    }
    kit_dir_make(dir);
    kit_in_tmpfs(dir, "8m", read_only_disk);
    kit_dir_remove(dir);
    return 0;
}
