/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include <cenote/status.h>

#include "transport/rdma/settings.h"

static struct rdma_settings parsed(const char *text)
{
    struct rdma_settings s;
    char error[256] = "";
    cr_assert_eq(rdma_settings_parse(text, &s, error, sizeof(error)), CENOTE_OK, "%s: %s", text,
                 error);
    return s;
}

/* Refused with a line that says this; what was in out stays. */
static void refused(const char *text, const char *reason)
{
    struct rdma_settings s, before;
    char error[256] = "";
    memset(&s, 0x5a, sizeof(s));
    before = s;
    cr_assert_eq(rdma_settings_parse(text, &s, error, sizeof(error)), CENOTE_INVALID, "%s", text);
    cr_assert(strstr(error, reason) != NULL, "%s: %s", text, error);
    cr_assert(memcmp(&s, &before, sizeof(s)) == 0);
}

Test(rdma_settings, parse__nothing_said)
{
    const char *texts[] = {NULL, "", "auto"};
    for (size_t i = 0; i < 3; i++) {
        struct rdma_settings s = parsed(texts[i]);
        cr_assert(!s.none);
        cr_assert_eq(s.named_count, 0);
        cr_assert_eq(s.rails, 4);
        cr_assert_eq(s.gid, -1);
        cr_assert_eq(s.ipv, 0);
        cr_assert_eq(s.traffic_class, 0);
        cr_assert_eq(s.service_level, 0);
        cr_assert_eq(s.hop_limit, 64);
        cr_assert_eq(s.pkey, 0);
        cr_assert_eq(s.mtu_bytes, 4096);
        cr_assert_eq(s.timeout, 14);
        cr_assert_eq(s.retry, 6);
        cr_assert_eq(s.depth, 256);
        cr_assert_eq(s.queue_pairs_max, 1024);
        cr_assert(!s.no_cache);
    }
}

Test(rdma_settings, parse__everything_said)
{
    struct rdma_settings s =
        parsed("auto,rails=2,gid=3,tc=106,sl=5,hops=1,mtu=1024,timeout=18,retry=1,depth=16,"
               "qps=65536,ipv=6,pkey=7,cache=0");
    cr_assert_eq(s.named_count, 0);
    cr_assert_eq(s.rails, 2);
    cr_assert_eq(s.gid, 3);
    cr_assert_eq(s.traffic_class, 106);
    cr_assert_eq(s.service_level, 5);
    cr_assert_eq(s.hop_limit, 1);
    cr_assert_eq(s.mtu_bytes, 1024);
    cr_assert_eq(s.timeout, 18);
    cr_assert_eq(s.retry, 1);
    cr_assert_eq(s.depth, 16);
    cr_assert_eq(s.queue_pairs_max, 65536);
    cr_assert_eq(s.ipv, 6);
    cr_assert_eq(s.pkey, 7);
    cr_assert(s.no_cache);
}

Test(rdma_settings, parse__none)
{
    cr_assert(parsed("none").none);
    cr_assert(parsed("none,tc=1").none);
}

Test(rdma_settings, parse__settings_alone_mean_auto)
{
    struct rdma_settings s = parsed("ipv=4,rails=1");
    cr_assert(!s.none);
    cr_assert_eq(s.named_count, 0);
    cr_assert_eq(s.rails, 1);
    cr_assert_eq(s.ipv, 4);
}

Test(rdma_settings, parse__devices)
{
    struct rdma_settings s = parsed("mlx5_0:1/3,mlx5_0:2,hfi1-0/0,tc=8,rocep59s0.1");
    cr_assert_eq(s.named_count, 4);
    cr_assert_str_eq(s.named[0].device, "mlx5_0");
    cr_assert_eq(s.named[0].port, 1);
    cr_assert_eq(s.named[0].gid, 3);
    cr_assert_eq(s.named[1].port, 2);
    cr_assert_eq(s.named[1].gid, -1);
    cr_assert_str_eq(s.named[2].device, "hfi1-0");
    cr_assert_eq(s.named[2].port, 0);
    cr_assert_eq(s.named[2].gid, 0);
    cr_assert_str_eq(s.named[3].device, "rocep59s0.1");
    cr_assert_eq(s.rails, 8, "all that were named");
    cr_assert_eq(s.traffic_class, 8);
}

Test(rdma_settings, parse__numbers_out_of_range)
{
    const char *texts[] = {
        "rails=0",    "rails=9", "gid=256",   "tc=256",    "sl=16",      "hops=0",
        "hops=256",   "mtu=128", "mtu=8192",  "timeout=0", "timeout=23", "depth=15",
        "depth=8193", "qps=0",   "qps=65537", "ipv=3",     "pkey=65536", "rails=4294967298",
        "gid=-1",     "gid=",    "tc=0x10",   "tc= 1",     "tc=1 ",      "tc=1=1"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        refused(texts[i], "is a number from");
    refused("mtu=1500", "256, 512, 1024, 2048 or 4096");
    refused("ipv=5", "4 or 6");
}

Test(rdma_settings, parse__retry_for_ever)
{
    refused("auto,retry=7", "for ever");
    refused("retry=0", "from 1 to 6");
}

Test(rdma_settings, parse__malformed)
{
    refused(",", "a comma too many");
    refused("auto,", "a comma too many");
    refused("a,,b", "a comma too many");
    refused("mlx5 0", "no name of a device");
    refused("..", "no name of a device");
    refused(":1", "no name of a device");
    refused("mlx5_0:", "a port is a number");
    refused("mlx5_0:0", "a port is a number");
    refused("mlx5_0:256", "a port is a number");
    refused("mlx5_0:1/", "a GID index is a number");
    refused("mlx5_0:1/x", "a GID index is a number");
    refused("mlx5_0:1/256", "a GID index is a number");
    refused("color=red", "no such setting");
    refused("=1", "no such setting");
}

Test(rdma_settings, parse__contradictions)
{
    refused("mlx5_0,auto", "at the beginning");
    refused("mlx5_0,none", "at the beginning");
    refused("auto,none", "at the beginning");
    refused("auto,mlx5_0", "after auto");
    refused("none,mlx5_0", "after none");
    refused("mlx5_0:1,mlx5_0:1/3", "named twice");
    refused("mlx5_0,mlx5_0:1", "named twice");
    refused("mlx5_0:1,mlx5_0", "named twice");
}

Test(rdma_settings, parse__too_much)
{
    char text[1100];
    memset(text, 'a', sizeof(text));
    text[64] = '\0';
    refused(text, "no name of a device");
    text[64] = 'a';
    text[sizeof(text) - 1] = '\0';
    refused(text, "longer than");
    refused("d1,d2,d3,d4,d5,d6,d7,d8,d9", "at most 8");
}
