#include "src/server_roll.h"

#include <errno.h>
#include <stdlib.h>

#include "codec/base/check.h"
#include "codec/base/list.h"
#include "src/base/quality.h"
#include "src/server.h"

#define SERVER_ROLL_SPARE 1024 /* rows for clients that come during a round */

static bool server_roll_step(void *context, struct commands *commands, uint64_t now_ns)
{
    struct roll_command *round = context;
    (void)now_ns;
    return commands_post(commands, round->mails) && commands_are_done(commands, round->mails);
}

static void server_roll_begin(const struct server *server, struct roll_command *round,
                              struct roll *roll)
{
    *round = (struct roll_command){.command = {.step = server_roll_step, .context = round}};
    for (uint32_t i = 0; i < server->core_count; i++) {
        round->parts[i] = (struct roll_part){.sessions = server->sessions[i], .roll = roll};
        round->mails[i] = (struct core_mail){.work = roll_part_work, .context = &round->parts[i]};
    }
}

/* A round that an operator asked for. */
struct server_roll_call {
    struct roll_command round;
    struct roll roll;
};

static void server_roll_drop(void *context)
{
    struct server_roll_call *call = container_of(context, struct server_roll_call, round);
    free(call->roll.rows);
    free(call->roll.channels);
    free(call->roll.picked);
    free(call);
}

int server_roll_run(void *context, struct roll *roll)
{
    struct server *server = context;
    struct server_roll_call *call = malloc(sizeof *call);
    assert_always(roll->round != ROLL_SAMPLE);
    if (call == NULL) {
        return -ENOMEM;
    }
    if (roll->round == ROLL_LIST) {
        roll->capacity = atomic_load(&server->conn_count) + SERVER_ROLL_SPARE;
        roll->rows = calloc(roll->capacity, sizeof *roll->rows);
        if (roll->rows == NULL) {
            free(call);
            return -ENOMEM;
        }
    }
    call->roll = *roll;
    server_roll_begin(server, &call->round, &call->roll);
    call->round.command.drop = server_roll_drop;
    int error = commands_call(server->commands, &call->round.command);
    if (error < 0) { /* The arrays are dropped with the call. */
        *roll = (struct roll){.rows = NULL};
    } else {
        *roll = call->roll;
        free(call);
    }
    return error;
}

void server_roll_tick(struct server *server, uint64_t now_ns)
{
    struct roll_sampler *self = &server->roll;
    bool is_busy = self->has_sampled && !self->round.command.is_done;
    assert_always(now_ns >= self->sampled_ns);
    if (is_busy || now_ns - self->sampled_ns < QUALITY_INTERVAL_NS) {
        return;
    }
    self->samples.sampled_ns = self->sampled_ns;
    self->sampled_ns = now_ns;
    self->has_sampled = true;
    self->samples.round = ROLL_SAMPLE;
    server_roll_begin(server, &self->round, &self->samples);
    commands_submit(server->commands, &self->round.command);
}
