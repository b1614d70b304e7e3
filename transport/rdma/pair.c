/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "transport/rdma/gid.h"

/* How well they fit: common bits of their GIDs, plus one; 0: they can't reach each other. */
static unsigned fit(const struct rdma_remote_port *a, const struct rdma_remote_port *b)
{
    if (a->link != b->link)
        return 0;
    bool same_family = gid_is_ipv4(&a->gid) == gid_is_ipv4(&b->gid);
    bool same_scope =
        (gid_kind_of(&a->gid) == GID_LINK_LOCAL) == (gid_kind_of(&b->gid) == GID_LINK_LOCAL);
    if (a->link != RDMA_LINK_IB && !(same_family && same_scope))
        return 0;
    return 1 + gid_common_bits(&a->gid, &b->gid);
}

struct matching {
    struct rdma_remote_port local[XCOPY_RAILS_MAX];
    bool up[XCOPY_RAILS_MAX];
    const struct rdma_remote_port *remote;
    unsigned local_count, remote_count;
    unsigned local_used[XCOPY_RAILS_MAX], remote_used[XCOPY_RAILS_MAX];
};

/* The next pair: of those whose ports are used least, first of all neither yet, the one that fits
 * best. A pair of two ports that both have another one already brings nothing. */
static bool next_pair(const struct matching *m, struct rdma_pair *out)
{
    unsigned best_used = 2, best_fit = 0;
    for (unsigned l = 0; l < m->local_count; l++)
        for (unsigned r = 0; r < m->remote_count; r++) {
            unsigned how = m->up[l] ? fit(&m->local[l], &m->remote[r]) : 0;
            unsigned used = (m->local_used[l] > 0 ? 1u : 0u) + (m->remote_used[r] > 0 ? 1u : 0u);
            if (how == 0 || used > best_used || used == 2)
                continue;
            if (used == best_used && how <= best_fit)
                continue;
            best_used = used;
            best_fit = how;
            *out = (struct rdma_pair){.local = l, .remote = r};
        }
    return best_fit > 0;
}

unsigned rdma_pair_ports(const struct rdma_port *local, unsigned local_count,
                         const struct rdma_remote_port *remote, unsigned remote_count,
                         struct rdma_pair *pairs, unsigned max)
{
    struct matching m = {.remote = remote, .local_count = local_count};
    assert(local_count <= XCOPY_RAILS_MAX);
    m.remote_count = remote_count < XCOPY_RAILS_MAX ? remote_count : XCOPY_RAILS_MAX;
    for (unsigned l = 0; l < local_count; l++) {
        m.up[l] = rdma_port_is_up(&local[l]);
        rdma_port_address(&local[l], &m.local[l], NULL);
    }
    unsigned count = 0;
    while (count < max && next_pair(&m, &pairs[count])) {
        m.local_used[pairs[count].local]++;
        m.remote_used[pairs[count].remote]++;
        count++;
    }
    return count;
}
