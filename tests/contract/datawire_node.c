/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node for datawire.py: prints what a client learns from the service, and serves until its
 * standard input ends. Each line: a name, then its value. A line of input is answered by what has
 * been counted so far.
 */
#include <string.h>

#include "tests/contract/rig.h"
#include "transport/base/log.h"

static void print_hex(const char *name, const uint8_t *bytes, size_t len)
{
    printf("%s ", name);
    for (size_t i = 0; i < len; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

static void print_grant(uint64_t put_id, uint64_t offset, uint64_t len_bytes)
{
    struct rig_value v = {.session = 1, .put_id = put_id, .offset = offset, .len_bytes = len_bytes};
    struct xcopy_req req = rig_write_req(&v, NULL, 0);
    printf("grant %llu %llu %llu %llu\n", (unsigned long long)put_id, (unsigned long long)req.gva.v,
           (unsigned long long)len_bytes, (unsigned long long)req.grant.mac);
}

static void print_traffic(const struct rig *r)
{
    struct xcopy_traffic t = {0};
    r->ops->traffic(r->exporter, &t);
    printf("%llu %llu %llu %llu\n", (unsigned long long)t.reads.count,
           (unsigned long long)t.writes.count, (unsigned long long)t.read_bytes,
           (unsigned long long)t.written_bytes);
}

int main(void)
{
    static struct rig r;
    char line[16];
    log_set_sink(log_to_stderr, NULL);
    log_set_level(LOG_ERROR);
    rig_start(&r, "tcp");
    struct xcopy_credentials who = rig_who(1);
    printf("tcp %s\nboot %llu\nsession 1\nnamespace %u\nincarnation %u\n", r.peer.tcp,
           (unsigned long long)RIG_BOOT, RIG_NAMESPACE, RIG_INCARNATION);
    print_hex("token", who.token.b, TOKEN_BYTES);
    print_grant(rig_next_put(), 4096, 6);
    print_grant(rig_next_put(), 1 << 20, 1000003);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        print_traffic(&r);
        fflush(stdout);
    }
    rig_stop(&r);
    return 0;
}
