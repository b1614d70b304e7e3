/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of wires, ports and devices. */
#include <unistd.h>

#include "tests/contract/rdma_faults.h"
#include "transport/base/clock.h"

#define VALUE_BYTES (UINT64_C(150) << 10)
#define LONG_BYTES  (UINT64_C(1200) << 10) /* divided over rails */

static struct rig rig;
static struct traffic traffic[2];

static void begin(uint64_t value_bytes, uint32_t patience_ms)
{
    for (uint64_t i = 0; i < 2; i++)
        traffic_start(&traffic[i], &rig, i + 1, value_bytes, patience_ms);
    for (unsigned i = 0; i < 2; i++)
        traffic_await_rounds(&traffic[i], 2);
}

static void begin_pair(const char *client, uint32_t patience_ms)
{
    rig_start_rdma(&rig, FAULTS_NODE, client);
    begin(VALUE_BYTES, patience_ms);
}

static void expect_rounds(unsigned count)
{
    for (unsigned i = 0; i < 2; i++)
        traffic_await_rounds(&traffic[i], count);
}

static void expect_failures(void)
{
    for (unsigned i = 0; i < 2; i++)
        traffic_await_failure(&traffic[i]);
}

static void end_traffic(void)
{
    for (unsigned i = 0; i < 2; i++)
        traffic_stop(&traffic[i], FAULTS_LIMIT_MS);
}

static unsigned failures(void)
{
    return traffic[0].failed + traffic[1].failed + traffic[0].refused + traffic[1].refused;
}

/* ---- loss ------------------------------------------------------------------------------------ */

static void lose(const char *client, const char *rate, unsigned rounds)
{
    begin_pair(client, FAULTS_WAIT_MS);
    softrdma_net("loss %s", rate);
    expect_rounds(rounds);
    softrdma_net("wire ''");
    expect_rounds(2);
    end_traffic();
    rig_stop(&rig);
}

/* No request notices. */
void fault_loss_1(void)
{
    lose(FAULTS_CLIENT FAULTS_STEADY, "1%", 10);
    CHECK(failures() == 0);
}

/* Now and then one packet is lost in all of its tries: then a request fails. */
void fault_loss_10(void)
{
    lose(FAULTS_CLIENT, "10%", 3);
}

/* ---- links and addresses --------------------------------------------------------------------- */

/* What is in flight ends in an error in the time that it takes to try again so often, and works
 * again when the cause is gone. */
static void disturb(const char *begin_it, const char *end_it)
{
    begin_pair(FAULTS_CLIENT, FAULTS_FAIL_MS);
    softrdma_net("%s", begin_it);
    expect_failures();
    softrdma_net("%s", end_it);
    expect_rounds(3);
    end_traffic();
    rig_stop(&rig);
}

void fault_client_link_down(void)
{
    disturb("link down va", "link up va");
}

void fault_node_link_down(void)
{
    disturb("link down vb", "link up vb");
}

void fault_client_gid_removed(void)
{
    disturb("gid remove va", "gid add va");
}

void fault_node_gid_removed(void)
{
    disturb("gid remove vb", "gid add vb");
}

/* ---- devices --------------------------------------------------------------------------------- */

static void await_gone(const char *device)
{
    uint64_t deadline_ms = clock_now_ms() + RIG_TIMEOUT_MS;
    while (softrdma_has(device)) {
        CHECK(clock_now_ms() < deadline_ms);
        usleep(10000);
    }
}

/* This kernel takes a software device away when nobody has it open any more, and lets nobody open
 * it meanwhile: who has it goes on. (That devices go at once is tested over the mock.) */
static void remove_used(const char *device)
{
    begin_pair(FAULTS_CLIENT FAULTS_STEADY, FAULTS_WAIT_MS);
    softrdma_net("device remove %s &", device);
    expect_rounds(3);
    end_traffic();
    CHECK(failures() == 0);
}

void fault_client_device_removed(void)
{
    struct xcopy_credentials who = rig_who(1);
    struct xcopy_channel *c;
    remove_used(FAULTS_CLIENT);
    rig_return(&rig);
    await_gone(FAULTS_CLIENT);
    CHECK_STATUS(rig.transport->connect(rig.context, &rig.peer, &who, RIG_TIMEOUT_MS, &c),
                 CENOTE_NOT_SUPPORTED);
    CHECK(!rig.transport->reaches(rig.context, &rig.peer));
    CHECK(softrdma_errors() == 1); /* it was named */
    softrdma_net("device add %s", FAULTS_CLIENT);
    rig_return(&rig);
    begin(VALUE_BYTES, FAULTS_WAIT_MS);
    end_traffic();
    CHECK(failures() == 0);
    rig_stop(&rig);
}

void fault_node_device_removed(void)
{
    remove_used(FAULTS_NODE);
    rig.ops->stop(rig.exporter);
    await_gone(FAULTS_NODE);
    softrdma_net("device add %s", FAULTS_NODE);
    rig_start_again(&rig);
    begin(VALUE_BYTES, FAULTS_WAIT_MS);
    end_traffic();
    CHECK(failures() == 0);
    rig_stop(&rig);
}

/* The network device goes; what was made of it can do nothing any more. */
static void pull(const char *network_device)
{
    begin_pair(FAULTS_CLIENT, FAULTS_FAIL_MS);
    softrdma_pull(network_device);
    expect_failures();
    end_traffic();
    rig_stop(&rig);
    await_gone(FAULTS_CLIENT);
    await_gone(FAULTS_NODE);
    softrdma_net("pair");
}

void fault_client_card_pulled(void)
{
    pull("va");
}

/* ---- rails ----------------------------------------------------------------------------------- */

/* One of two wires fails: requests don't notice. */
static void begin_rails(void)
{
    rig_start_rdma(&rig, "rxe1,rxe3", "rxe0,rxe2" FAULTS_STEADY);
    begin(LONG_BYTES, FAULTS_WAIT_MS);
}

static void expect_one_rail(void)
{
    struct xcopy_report report;
    expect_rounds(3);
    rig.transport->report(rig.context, &report);
    CHECK(report.rails_lost > 0);
}

static void end_rails(void)
{
    end_traffic();
    CHECK(failures() == 0);
    rig_stop(&rig);
}

void fault_rail_link_down(void)
{
    begin_rails();
    softrdma_net("link down va");
    expect_one_rail();
    softrdma_net("link up va");
    expect_rounds(2);
    end_rails();
}

void fault_rail_device_removed(void)
{
    begin_rails();
    softrdma_net("device remove rxe0 &");
    softrdma_net("device remove rxe3 &");
    expect_rounds(3);
    end_rails();
    await_gone("rxe0");
    await_gone("rxe3");
    softrdma_net("device add rxe0");
    softrdma_net("device add rxe3");
}

void fault_rail_card_pulled(void)
{
    begin_rails();
    softrdma_pull("vd");
    expect_one_rail();
    end_rails();
    await_gone("rxe2");
    await_gone("rxe3");
    softrdma_net("rails");
}
