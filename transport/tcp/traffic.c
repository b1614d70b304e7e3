/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/clock.h"
#include "transport/tcp/server.h"

void tcp_turn_begin(struct tcp_loop *l)
{
    l->turn = (struct tcp_turn){.begun_ns = clock_now_ns()};
}

void tcp_turn_answered(struct tcp_loop *l, uint64_t begun_ns, bool is_write)
{
    struct tcp_turn *t = &l->turn;
    if (begun_ns != t->begun_ns) {
        t->earlier_begun_ns = begun_ns;
        t->earlier_is_write = is_write;
    } else if (is_write) {
        t->writes++;
    } else {
        t->reads++;
    }
}

static void observe(struct metric_histogram *h, uint64_t ns, unsigned count)
{
    for (unsigned i = 0; i < count; i++) /* at most TCP_TURN_REQUESTS */
        metric_observe_ns(h, ns);
}

uint64_t tcp_turn_end(struct tcp_loop *l)
{
    const struct tcp_turn *t = &l->turn;
    uint64_t now_ns = clock_now_ns();
    observe(&l->traffic.reads, now_ns - t->begun_ns, t->reads);
    observe(&l->traffic.writes, now_ns - t->begun_ns, t->writes);
    if (t->earlier_begun_ns != 0)
        observe(t->earlier_is_write ? &l->traffic.writes : &l->traffic.reads,
                now_ns - t->earlier_begun_ns, 1);
    return now_ns;
}

void tcp_server_traffic(struct xcopy_exporter *exporter, struct xcopy_traffic *out)
{
    const struct tcp_server *s = (const struct tcp_server *)exporter;
    for (unsigned i = 0; i < TCP_LOOPS; i++) {
        const struct tcp_traffic *t = &s->loops[i].traffic;
        out->read_bytes += metric_get(&t->read_bytes);
        out->written_bytes += metric_get(&t->written_bytes);
        out->refused_reads += metric_get(&t->refused_reads);
        out->refused_writes += metric_get(&t->refused_writes);
        metric_view_add(&out->reads, &t->reads);
        metric_view_add(&out->writes, &t->writes);
    }
}
