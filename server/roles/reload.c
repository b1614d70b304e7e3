/* SPDX-License-Identifier: Apache-2.0 */
#include "server/roles/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#include "server/config/log_levels.h"
#include "transport/base/log.h"

struct change {
    unsigned taken, left;
    struct config_report report;
    char was[CONFIG_VALUE_MAX], is[CONFIG_VALUE_MAX];
};

static void say_faults(const struct config_report *report)
{
    for (const char *line = report->text; *line != '\0';) {
        int len = (int)strcspn(line, "\n");
        log_error("cenoted", "reload: %.*s", len, line);
        line += len + 1;
    }
    log_error("cenoted", "reload: %u faults, nothing is changed", report->faults);
}

static const char *shown(const char *value)
{
    return *value ? value : "nothing";
}

static void take(struct change *c, struct options *now, const struct options *next,
                 const struct config_option *o)
{
    config_value_text(o, now, c->was);
    config_value_text(o, next, c->is);
    if (!config_is_reloaded(options_spec(), o)) {
        c->left++;
        log_warn("cenoted", "reload: %s needs a restart: it stays %s, and is not %s yet", o->name,
                 shown(c->was), shown(c->is));
    } else if (config_value_copy(o, next, now) == CENOTE_OK) {
        c->taken++;
        log_info("cenoted", "reload: %s is %s, was %s", o->name, shown(c->is), shown(c->was));
    } else {
        log_error("cenoted", "reload: no memory for %s: it stays %s", o->name, shown(c->was));
    }
}

static void take_all(struct change *c, struct options *now, const struct options *next)
{
    const struct config_spec *spec = options_spec();

    for (size_t i = 0; i < spec->count; i++)
        if (!config_value_equal(&spec->options[i], now, next))
            take(c, now, next, &spec->options[i]);
}

void reload(struct options *now, int argc, char **argv, struct meta_role *meta,
            struct node_role *node)
{
    struct change *c = calloc(1, sizeof *c);
    struct options next = {0};

    if (!c) {
        log_error("cenoted", "reload: no memory, nothing is changed");
        return;
    }
    if (options_parse(&next, argc, argv, &c->report) != CENOTE_OK) {
        say_faults(&c->report);
    } else {
        uint64_t scrub_bytes = now->scrub_bytes;
        take_all(c, now, &next);
        log_levels_set(&now->log_level); /* also over what was changed otherwise meanwhile */
        if (meta && !meta_role_retune(meta, now))
            log_error("cenoted", "reload: no memory, the service goes on as it was");
        if (node && now->scrub_bytes != scrub_bytes && !node_role_scrub(node, now->scrub_bytes))
            log_error("cenoted", "reload: no memory, the node goes on as it was");
        log_info("cenoted", "reload: %s: %u taken, %u need a restart",
                 c->report.file[0] ? c->report.file : "there is no file", c->taken, c->left);
    }
    options_free(&next);
    free(c);
}
