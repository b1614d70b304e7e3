/* SPDX-License-Identifier: Apache-2.0 */
/* Contract case: the memory outlives its exporter, and so do its writers. */
#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/contract/cases.h"
#include "tests/contract/half.h"
#include "tests/contract/lives.h"

#define SOON_MS   20000u
#define LINGER_MS 150u

void lives_begin(struct rig *r, const char *slots_dir)
{
    r->gate.slots_dir = slots_dir;
    memset(r->horizons, 0, sizeof r->horizons);
    rig_restart(r);
}

int lives_count_files(const char *dir)
{
    int count = 0;
    DIR *d = opendir(dir);
    CHECK(d != NULL);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

void lives_wait_empty(const char *dir)
{
    for (unsigned ms = 0; lives_count_files(dir) > 0; ms++) {
        CHECK(ms < SOON_MS);
        usleep(1000);
    }
}

/* Half-way since two lives: its space is its own until it has gone on. */
void case_writer_outlives_node(struct rig *r)
{
    static struct half h;
    struct rig_fence f, other;
    char dir[] = LIVES_DIRECTORY;
    if (r->peer.shm[0] == '\0')
        return;
    CHECK(mkdtemp(dir) != NULL);
    lives_begin(r, dir);
    half_begin(&h, r, 1);
    lives_begin(r, dir);
    CHECK(lives_count_files(dir) == 1);
    lives_begin(r, dir);
    CHECK(lives_count_files(dir) == 1);
    rig_fence_begin(r, &f, 1, h.value.put_id);
    rig_fence_begin(r, &other, 2, h.value.put_id);
    CHECK(!rig_fence_ended(&f, LINGER_MS));
    CHECK(rig_fence_ended(&other, SOON_MS));
    half_resume(&h);
    CHECK(rig_fence_ended(&f, SOON_MS));
    struct xcopy_req late = rig_write_req(&h.value, &h.whole, 1);
    late.put_id++;
    int status = rig_run(h.channel, &late);
    CHECK(status == CENOTE_OLD_BOOT || status == CENOTE_NODE_DOWN);
    CHECK(!late.may_land);
    lives_wait_empty(dir);
    rig_fence_free(&f);
    rig_fence_free(&other);
    half_free(&h);
    CHECK(rmdir(dir) == 0);
}

/* With so many descriptors: a life that begins can look at the writer, or doesn't begin. */
static bool begins_with(struct rig *r, rlim_t count)
{
    struct rlimit before;
    char endpoint[XCOPY_ENDPOINT_MAX], bound[XCOPY_ENDPOINT_MAX];
    snprintf(endpoint, sizeof endpoint, "%s", rig_endpoint(r));
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    struct rlimit few = {.rlim_cur = count, .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    int status =
        r->ops->start(endpoint, &r->gate, &(struct xcopy_settings){0}, &r->exporter, bound);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    if (status != CENOTE_OK)
        CHECK_STATUS(status, CENOTE_IO);
    return status == CENOTE_OK;
}

/* Who is half-way can't be looked at for want of descriptors: that is no reason to begin with other
 * memory, nor to forget him. */
void case_writer_unseen(struct rig *r)
{
    static struct half h;
    struct rig_fence f;
    char dir[] = LIVES_DIRECTORY;
    if (r->peer.shm[0] == '\0')
        return;
    CHECK(mkdtemp(dir) != NULL);
    lives_begin(r, dir);
    half_begin(&h, r, 1);
    r->ops->stop(r->exporter);
    rlim_t count = 3;
    for (; !begins_with(r, count); count++)
        CHECK(lives_count_files(dir) == 1);
    CHECK(count > 6);
    lives_begin(r, dir);
    rig_fence_begin(r, &f, 1, h.value.put_id);
    CHECK(!rig_fence_ended(&f, LINGER_MS));
    half_resume(&h);
    CHECK(rig_fence_ended(&f, SOON_MS));
    lives_wait_empty(dir);
    rig_fence_free(&f);
    half_free(&h);
    CHECK(rmdir(dir) == 0);
}
