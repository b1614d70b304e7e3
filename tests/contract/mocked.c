/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/mocked.h"

#include <string.h>

#include "tests/contract/rig.h"
#include "transport/base/hash.h"

#define NAME      "mockrdma"
#define MODES_MAX 128u

struct modes {
    bool one, threads, tiny;
    uint64_t seed; /* 0: any */
    unsigned quirks;
};

static unsigned quirk_of(const char *mode)
{
    static const struct {
        const char *name;
        unsigned quirk;
    } quirks[] = {{"late", MOCK_LATE}, {"stray", MOCK_STRAY}, {"swapped", MOCK_SWAPPED}};
    for (size_t i = 0; i < sizeof quirks / sizeof quirks[0]; i++)
        if (strcmp(mode, quirks[i].name) == 0)
            return quirks[i].quirk;
    fprintf(stderr, "no mode is called %s\n", mode);
    exit(2);
}

static void take_mode(struct modes *m, const char *mode)
{
    if (strcmp(mode, "one") == 0)
        m->one = true;
    else if (strcmp(mode, "tiny") == 0)
        m->tiny = true;
    else if (strncmp(mode, "seed=", strlen("seed=")) == 0)
        m->seed = strtoull(mode + strlen("seed="), NULL, 10);
    else if (strcmp(mode, "threads") != 0)
        m->quirks |= quirk_of(mode);
    m->threads |= strcmp(mode, "threads") == 0 || m->seed != 0;
}

/* text: from the colon on, or nothing. */
static struct modes modes_of(const char *text)
{
    struct modes m = {0};
    char copy[MODES_MAX], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", *text == ':' ? text + 1 : text);
    for (char *mode = strtok_r(copy, ",", &rest); mode != NULL; mode = strtok_r(NULL, ",", &rest))
        take_mode(&m, mode);
    return m;
}

void mocked_make(struct mock_device *made[2], void (*change)(void))
{
    mock_reset();
    made[0] = mock_add("mock0");
    made[1] = mock_add("mock1");
    if (change != NULL)
        change();
    rdma_verbs_replace(mock_verbs());
}

/* As little as a device may have. */
static void make_tiny(struct mock_device *d)
{
    d->attr.max_qp_wr = 4;
    d->attr.max_sge = d->attr.max_sge_rd = 1;
    d->attr.max_cqe = 5;
    d->attr.max_qp_rd_atom = d->attr.max_qp_init_rd_atom = 1;
    d->inline_max = 0;
    d->ports[0].attr.max_msg_sz = 4096;
    d->ports[0].attr.active_mtu = IBV_MTU_256;
}

bool mocked_start(const char *name)
{
    struct mock_device *made[2];
    if (strncmp(name, NAME, strlen(NAME)) != 0)
        return false;
    struct modes m = modes_of(name + strlen(NAME));
    mocked_make(made, NULL);
    if (m.tiny)
        for (unsigned i = 0; i < 2; i++)
            make_tiny(made[i]);
    if (m.one)
        made[1]->ports[0].attr.state = IBV_PORT_DOWN;
    mock_set_quirks(m.quirks);
    if (m.threads) {
        m.seed = m.seed != 0 ? m.seed : hash_random_u64() | 1;
        printf("  seed=%llu\n", (unsigned long long)m.seed);
        fflush(stdout);
        mock_run(m.seed);
    }
    return true;
}

void mocked_stop(void)
{
    mock_rest();
    CHECK(mock_alive() == 0);
}
