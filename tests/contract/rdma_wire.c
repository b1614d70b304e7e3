/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of wires, ports and devices. */
#include <unistd.h>

#include "tests/contract/rdma_faults.h"
#include "transport/base/clock.h"

#define VALUE_BYTES (UINT64_C(300) << 10)
#define LONG_BYTES  (UINT64_C(3) << 20) /* divided over rails */

static struct rig rig;
static struct traffic traffic[2];

static void begin(uint64_t value_bytes)
{
    for (uint64_t i = 0; i < 2; i++)
        traffic_start(&traffic[i], &rig, i + 1, value_bytes);
    for (unsigned i = 0; i < 2; i++)
        traffic_await_rounds(&traffic[i], 2);
}

static void begin_pair(void)
{
    rig_start_rdma(&rig, FAULTS_NODE, FAULTS_CLIENT);
    begin(VALUE_BYTES);
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

static void lose(const char *rate)
{
    begin_pair();
    softrdma_net("loss %s", rate);
    expect_rounds(10);
    softrdma_net("wire ''");
    expect_rounds(2);
    end_traffic();
    CHECK(failures() == 0);
    rig_stop(&rig);
}

void fault_loss_1(void)
{
    lose("1%");
}

void fault_loss_10(void)
{
    lose("10%");
}

/* ---- links and addresses --------------------------------------------------------------------- */

/* What is in flight ends in an error in the time that it takes to try again so often, and works
 * again when the cause is gone. */
static void disturb(const char *begin_it, const char *end_it)
{
    begin_pair();
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

/* A device that was removed is gone for those who had it open; their next life has it again. */
void fault_client_device_removed(void)
{
    begin_pair();
    softrdma_net("device remove %s", FAULTS_CLIENT);
    expect_failures();
    softrdma_net("device add %s", FAULTS_CLIENT);
    end_traffic();
    rig_return(&rig);
    begin(VALUE_BYTES);
    end_traffic();
    CHECK(failures() == 0);
    rig_stop(&rig);
}

void fault_node_device_removed(void)
{
    begin_pair();
    softrdma_net("device remove %s", FAULTS_NODE);
    expect_failures();
    softrdma_net("device add %s", FAULTS_NODE);
    end_traffic();
    rig_restart(&rig);
    begin(VALUE_BYTES);
    end_traffic();
    CHECK(failures() == 0);
    rig_stop(&rig);
}

/* ---- rails ----------------------------------------------------------------------------------- */

/* One of two wires fails: requests don't notice. */
static void lose_rail(const char *begin_it, const char *end_it)
{
    struct xcopy_report report;
    rig_start_rdma(&rig, "rxe1,rxe3", "rxe0,rxe2");
    begin(LONG_BYTES);
    softrdma_net("%s", begin_it);
    expect_rounds(3);
    rig.transport->report(rig.context, &report);
    CHECK(report.rails_lost > 0);
    softrdma_net("%s", end_it);
    expect_rounds(2);
    end_traffic();
    CHECK(failures() == 0);
    rig_stop(&rig);
}

void fault_rail_link_down(void)
{
    lose_rail("link down va", "link up va");
}

void fault_client_rail_removed(void)
{
    lose_rail("device remove rxe0", "device add rxe0");
}

void fault_node_rail_removed(void)
{
    lose_rail("device remove rxe3", "device add rxe3");
}
