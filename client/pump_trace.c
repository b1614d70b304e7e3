/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations in the background, in the trace. Many are under way on the pump's thread, so that
 * their spans don't nest in its spans: an operation and its stages are a group of their own. The
 * first stage is the wait for the pump, and so is each wait for a number or for room among the
 * calls.
 */
#include "client/pump_op.h"

#include "client/stage.h"

static struct tally *tally_of(const struct op *op)
{
    return op->pump->env.machines.tally;
}

static enum tally_op what(const struct op *op)
{
    return op->gets ? TALLY_GET : TALLY_PUT;
}

/* A part is one of an operation that is counted as a whole. */
static enum tally_stage whole(const struct op *op)
{
    return op->part ? TALLY_PART : TALLY_WHOLE;
}

static void end(const struct op *op, enum tally_stage stage, uint64_t *begun_ns, uint64_t number)
{
    const struct tally *t = tally_of(op);

    if (*begun_ns != 0)
        trace_end_grouped(t->trace, t->points[what(op)][stage], *begun_ns, number, op->trace.group);
    *begun_ns = 0;
}

void op_trace_begin(struct op *op)
{
    struct tally *t = tally_of(op);

    op->trace.whole_ns = tally_trace(t, what(op), whole(op));
    if (op->trace.whole_ns == 0)
        return;
    op->trace.group = trace_group(t->trace);
    op_trace_stage(op, TALLY_QUEUE, op->count);
}

void op_trace_stage_now(struct op *op, enum tally_stage stage, uint64_t number)
{
    op_trace_stage_over(op);
    op->trace.stage = stage;
    op->trace.number = number;
    op->trace.stage_ns = tally_trace(tally_of(op), what(op), stage);
}

void op_trace_step_now(struct op *op)
{
    uint64_t number = op->step.kind == STEP_CALL ? op->step.request->len : op->step.copy_count;
    op_trace_stage_now(op, stage_of(&op->step), number);
}

void op_trace_stage_over(struct op *op)
{
    end(op, op->trace.stage, &op->trace.stage_ns, op->trace.number);
}

void op_trace_end(struct op *op)
{
    op_trace_stage_over(op);
    end(op, whole(op), &op->trace.whole_ns, op->count);
}

void op_trace_drop(struct op *op)
{
    struct tally *t = tally_of(op);

    if (op->trace.stage_ns != 0)
        trace_drop(t->trace, t->points[what(op)][op->trace.stage], op->trace.stage_ns);
    if (op->trace.whole_ns != 0)
        trace_drop(t->trace, t->points[what(op)][whole(op)], op->trace.whole_ns);
}
