/* SPDX-License-Identifier: Apache-2.0 */
/* Contract case: the memory outlives its exporter, and so do its writers. */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "tests/contract/cases.h"
#include "tests/contract/half.h"

#define SOON_MS   5000u
#define LINGER_MS 150u

/* The next life: what the last one had in its process is gone, what it kept in files is there. It
 * has the same boot, so that only the slots can tell. */
static void begin_life(struct rig *r, const char *slots_dir)
{
    r->gate.slots_dir = slots_dir;
    memset(r->horizons, 0, sizeof r->horizons);
    rig_restart(r);
}

static int count_files(const char *dir)
{
    int count = 0;
    DIR *d = opendir(dir);
    CHECK(d != NULL);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void wait_empty(const char *dir)
{
    for (unsigned ms = 0; count_files(dir) > 0; ms++) {
        CHECK(ms < SOON_MS);
        usleep(1000);
    }
}

/* Half-way since two lives: its space is its own until it has gone on. */
void case_writer_outlives_node(struct rig *r)
{
    static struct half h;
    struct rig_fence f, other;
    char dir[] = "/dev/shm/cenote-test-XXXXXX";
    if (r->peer.shm[0] == '\0')
        return;
    CHECK(mkdtemp(dir) != NULL);
    begin_life(r, dir);
    half_begin(&h, r, 1);
    begin_life(r, dir);
    CHECK(count_files(dir) == 1);
    begin_life(r, dir);
    CHECK(count_files(dir) == 1);
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
    wait_empty(dir);
    rig_fence_free(&f);
    rig_fence_free(&other);
    half_free(&h);
    CHECK(rmdir(dir) == 0);
}
