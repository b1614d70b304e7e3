/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "transport/rdma/gid.h"

/* A port's table as a test makes it up; a text of NULL is an empty entry. */
static struct {
    const char *address;
    uint32_t type;
} table[300];

static union ibv_gid gid_of(const char *text)
{
    union ibv_gid gid = {.raw = {0}};
    if (strchr(text, ':') != NULL) {
        cr_assert_eq(inet_pton(AF_INET6, text, gid.raw), 1);
    } else {
        gid.raw[10] = gid.raw[11] = 0xff;
        cr_assert_eq(inet_pton(AF_INET, text, gid.raw + 12), 1);
    }
    return gid;
}

static int query_gid(struct ibv_context *context, uint32_t port, uint32_t index,
                     struct ibv_gid_entry *out)
{
    (void)context;
    cr_assert_eq(port, 1);
    cr_assert(index < 300);
    if (table[index].address == NULL)
        return ENODATA;
    out->gid = gid_of(table[index].address);
    out->gid_type = table[index].type;
    return 0;
}

static const struct rdma_verbs verbs = {.query_gid = query_gid};
static struct gid_own own;
static struct gid_search search;
static struct ibv_port_attr attr;
static struct gid_choice choice;

static void set(unsigned index, uint32_t type, const char *address)
{
    table[index].address = address;
    table[index].type = type;
}

static void begin(void)
{
    search = (struct gid_search){.verbs = &verbs, .port = 1, .wanted = -1, .own = &own};
    attr = (struct ibv_port_attr){.gid_tbl_len = 300};
}

TestSuite(rdma_gid, .init = begin);

static void chosen(unsigned index)
{
    const char *why = gid_choose(&search, &attr, &choice);
    cr_assert_null(why, "%s", why);
    cr_assert_eq(choice.index, index, "%u", choice.index);
}

static void none_chosen(const char *reason)
{
    const char *why = gid_choose(&search, &attr, &choice);
    cr_assert_not_null(why);
    cr_assert(strstr(why, reason) != NULL, "%s", why);
}

Test(rdma_gid, kind_of)
{
    const struct {
        const char *address;
        enum gid_kind kind;
    } cases[] = {
        {"10.1.2.3", GID_IPV4},      {"127.0.0.1", GID_LOOPBACK}, {"169.254.1.1", GID_LINK_LOCAL},
        {"2001:db8::1", GID_IPV6},   {"fd00::1", GID_IPV6},       {"fe80::1", GID_LINK_LOCAL},
        {"febf::1", GID_LINK_LOCAL}, {"::1", GID_LOOPBACK},       {"::", GID_NONE},
        {"ff02::1", GID_NONE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        union ibv_gid gid = gid_of(cases[i].address);
        cr_assert_eq(gid_kind_of(&gid), cases[i].kind, "%s", cases[i].address);
    }
}

Test(rdma_gid, common_bits)
{
    const struct {
        const char *a, *b;
        unsigned bits;
    } cases[] = {{"10.0.0.1", "10.0.0.1", 128},
                 {"10.0.0.0", "10.0.0.1", 127},
                 {"10.0.0.1", "138.0.0.1", 96},
                 {"2001::", "::1", 2},
                 {"8000::", "::1", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        union ibv_gid a = gid_of(cases[i].a), b = gid_of(cases[i].b);
        cr_assert_eq(gid_common_bits(&a, &b), cases[i].bits, "%s", cases[i].a);
    }
}

Test(rdma_gid, text)
{
    const char *texts[] = {"10.0.0.1", "2001:db8::1", "fe80::5054:ff:fe12:3456"};
    char text[GID_TEXT_MAX];
    for (size_t i = 0; i < 3; i++) {
        union ibv_gid gid = gid_of(texts[i]);
        gid_text(&gid, text);
        cr_assert_str_eq(text, texts[i]);
    }
}

Test(rdma_gid, choose__order)
{
    set(0, IBV_GID_TYPE_ROCE_V1, "10.0.0.9");
    set(1, IBV_GID_TYPE_ROCE_V2, "127.0.0.1");
    chosen(1);
    set(2, IBV_GID_TYPE_ROCE_V2, "fe80::1");
    chosen(2);
    set(5, IBV_GID_TYPE_ROCE_V2, "2001:db8::5");
    set(4, IBV_GID_TYPE_ROCE_V2, "2001:db8::4");
    chosen(4);
    set(200, IBV_GID_TYPE_ROCE_V2, "10.0.0.1");
    set(201, IBV_GID_TYPE_ROCE_V2, "10.0.0.2");
    chosen(200);
    cr_assert_eq(choice.link, RDMA_LINK_ROCE_V2);
    union ibv_gid gid = gid_of("10.0.0.1");
    cr_assert(gid_equal(&choice.gid, &gid));
}

Test(rdma_gid, choose__family)
{
    set(1, IBV_GID_TYPE_ROCE_V2, "10.0.0.1");
    set(2, IBV_GID_TYPE_ROCE_V2, "fe80::1");
    search.ipv = 6;
    chosen(2);
    search.ipv = 4;
    chosen(1);
    set(1, 0, NULL);
    none_chosen("ipv=4");
}

Test(rdma_gid, choose__own_addresses_first)
{
    set(1, IBV_GID_TYPE_ROCE_V2, "10.0.0.1");
    set(2, IBV_GID_TYPE_ROCE_V2, "2001:db8::1");
    set(3, IBV_GID_TYPE_ROCE_V2, "10.0.0.2");
    own.at[0] = gid_of("2001:db8::1");
    own.count = 1;
    chosen(2);
    own.at[1] = gid_of("10.0.0.2");
    own.count = 2;
    chosen(3);
}

Test(rdma_gid, choose__version_1_only_by_index)
{
    none_chosen("no GID");
    set(3, IBV_GID_TYPE_ROCE_V1, "10.0.0.1");
    none_chosen("RoCE v1 only");
    search.wanted = 3;
    chosen(3);
    cr_assert_eq(choice.link, RDMA_LINK_ROCE_V1);
    search.wanted = 4;
    none_chosen("index that was said");
}

Test(rdma_gid, choose__beyond_what_packets_can_name)
{
    set(256, IBV_GID_TYPE_ROCE_V2, "10.0.0.1");
    none_chosen("no GID");
    attr.gid_tbl_len = -1;
    none_chosen("no GID");
}

Test(rdma_gid, choose__infiniband)
{
    search.infiniband = true;
    none_chosen("index 0");
    set(0, IBV_GID_TYPE_IB, "fe80::2:c903:a:1");
    set(1, IBV_GID_TYPE_IB, "2001:db8::1");
    chosen(0);
    cr_assert_eq(choice.link, RDMA_LINK_IB);
    search.wanted = 1;
    chosen(1);
}

Test(rdma_gid, own_addresses)
{
    union ibv_gid loopback = gid_of("127.0.0.1");
    bool found = false;
    gid_own_addresses(&own);
    for (unsigned i = 0; i < own.count; i++)
        found = found || gid_equal(&own.at[i], &loopback);
    cr_assert(found || own.count == 0);
}
