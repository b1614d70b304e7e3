/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <cenote/status.h>

#include "transport/rdma/queue.h"

Test(rdma_status, of__every_one)
{
    static const struct {
        enum ibv_wc_status status;
        int means;
    } cases[] = {
        {IBV_WC_SUCCESS, CENOTE_OK},
        {IBV_WC_LOC_LEN_ERR, CENOTE_BAD_ADDRESS},
        {IBV_WC_LOC_QP_OP_ERR, CENOTE_IO},
        {IBV_WC_LOC_EEC_OP_ERR, CENOTE_IO},
        {IBV_WC_LOC_PROT_ERR, CENOTE_BAD_ADDRESS},
        {IBV_WC_WR_FLUSH_ERR, CENOTE_CANCELLED},
        {IBV_WC_MW_BIND_ERR, CENOTE_IO},
        {IBV_WC_BAD_RESP_ERR, CENOTE_IO},
        {IBV_WC_LOC_ACCESS_ERR, CENOTE_BAD_ADDRESS},
        {IBV_WC_REM_INV_REQ_ERR, CENOTE_IO},
        {IBV_WC_REM_ACCESS_ERR, CENOTE_STALE},
        {IBV_WC_REM_OP_ERR, CENOTE_IO},
        {IBV_WC_RETRY_EXC_ERR, CENOTE_NODE_DOWN},
        {IBV_WC_RNR_RETRY_EXC_ERR, CENOTE_NODE_DOWN},
        {IBV_WC_LOC_RDD_VIOL_ERR, CENOTE_IO},
        {IBV_WC_REM_INV_RD_REQ_ERR, CENOTE_IO},
        {IBV_WC_REM_ABORT_ERR, CENOTE_IO},
        {IBV_WC_INV_EECN_ERR, CENOTE_IO},
        {IBV_WC_INV_EEC_STATE_ERR, CENOTE_IO},
        {IBV_WC_FATAL_ERR, CENOTE_IO},
        {IBV_WC_RESP_TIMEOUT_ERR, CENOTE_NODE_DOWN},
        {IBV_WC_GENERAL_ERR, CENOTE_IO},
        {IBV_WC_TM_ERR, CENOTE_IO},
        {IBV_WC_TM_RNDV_INCOMPLETE, CENOTE_IO},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool flushed = !(cases[i].status == IBV_WC_WR_FLUSH_ERR);
        cr_assert_eq(cases[i].status, i, "none is left out");
        cr_assert_eq(rdma_status_of(cases[i].status, &flushed), cases[i].means, "%zu", i);
        cr_assert_eq(flushed, cases[i].status == IBV_WC_WR_FLUSH_ERR);
    }
    bool flushed = true;
    cr_assert_eq(rdma_status_of((enum ibv_wc_status)4711, &flushed), CENOTE_IO);
    cr_assert(!flushed);
}
