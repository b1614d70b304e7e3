/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_id__cannot_be_read: a store that couldn't read the name of the machine's boot (no descriptor
 * was left) took itself for one on another boot. It refused its own directory as one that a crash
 * of the system had torn, or wrote down that no boot is known, for the next start to stumble over.
 * Now it doesn't open, leaves the directory as it is, and opens when the name can be read again.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cenote/status.h>

#include "tests/scenario/store/kit.h"

static const struct store_lmdb_options options = {.map_size_bytes = 4 << 20};

static int refused_with;         /* errno; 0: files are opened */
static const char *instead = ""; /* of the file */

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode);

FILE *__wrap_fopen(const char *path, const char *mode)
{
    if (strstr(path, "boot_id") == NULL)
        return __real_fopen(path, mode);
    if (refused_with == 0)
        return __real_fopen(instead[0] != '\0' ? instead : path, mode);
    errno = refused_with;
    return NULL;
}

/* With one value in it; its owner is killed. */
static void owner_leave(const char *dir)
{
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct store *s = kit_open(dir, &options);
        CHECK(kit_put(s, STORE_META, 1, 8, 0) == CENOTE_OK);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void opens_with_value(const char *dir)
{
    struct store *s = kit_open(dir, &options);
    CHECK(kit_has(s, STORE_META, 1));
    store_lmdb_close(s);
}

static void cannot_be_opened(const char *dir)
{
    static const int reasons[] = {EMFILE, ENFILE, ENOMEM};
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        owner_leave(dir);
        refused_with = reasons[i];
        int status = kit_refused(dir, &options);
        refused_with = 0;
        CHECK(status != CENOTE_OK && status != CENOTE_UNTRUSTED && kit_said("boot_id"));
        opens_with_value(dir);
    }
}

static void cannot_be_read(const char *dir)
{
    static const char *const files[] = {"/", "/dev/null"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        owner_leave(dir);
        instead = files[i];
        int status = kit_refused(dir, &options);
        instead = "";
        CHECK(status != CENOTE_OK && status != CENOTE_UNTRUSTED && kit_said("boot_id"));
        opens_with_value(dir);
    }
}

/* A kernel that tells none: it opens what was closed, and trusts nothing else. */
static void is_unknown(const char *dir)
{
    refused_with = ENOENT;
    struct store *s = kit_open(dir, &options);
    CHECK(kit_put(s, STORE_META, 1, 8, 0) == CENOTE_OK);
    store_lmdb_close(s);
    opens_with_value(dir);
    owner_leave(dir);
    CHECK(kit_refused(dir, &options) == CENOTE_UNTRUSTED);
    refused_with = 0;
    CHECK(kit_refused(dir, &options) == CENOTE_UNTRUSTED);
}

int main(void)
{
    void (*const cases[])(const char *dir) = {cannot_be_opened, cannot_be_read, is_unknown};
    char dir[64];
    kit_log_keep();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kit_dir_make(dir);
        cases[i](dir);
        kit_dir_remove(dir);
    }
    return 0;
}
