#include "comm/comm.h"

#include <limits.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/plugin.h"
#include "comm/plugin.h"

struct sn_comm {
    int rank, size;
    const sn_comm_plugin *plugin; /* NULL: a job of one */
};

/* ---- how this process was started ---- */

/* What starts several processes tells each its rank, and how many there are. */
static const struct {
    const char *rank, *size;
    bool meets; /* whether MPI can find the others */
} starters[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", true}, /* mpirun */
    {"PMIX_RANK", "SLURM_STEP_NUM_TASKS", true},            /* srun --mpi=pmix */
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", false},        /* srun without MPI */
};
enum { STARTERS = sizeof starters / sizeof *starters };

/* The number in a variable of the environment, or `otherwise`. */
static int environment_number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || text[0] == '\0')
        return otherwise;
    long value = strtol(text, &end, 10);
    return *end == '\0' && value >= 0 && value < INT_MAX ? (int)value : otherwise;
}

/* Which of the starters it was; STARTERS: none. */
static int starter_find(void)
{
    int s = 0;
    while (s < STARTERS && (getenv(starters[s].rank) == NULL || environment_number(starters[s].size, 0) < 1))
        s++;
    return s;
}

int sn_comm_started(void)
{
    int s = starter_find();
    return s == STARTERS ? 1 : environment_number(starters[s].size, 1);
}

bool sn_comm_is_first(void)
{
    int s = starter_find();
    return s == STARTERS || environment_number(starters[s].rank, 0) == 0;
}

/* ---- meeting and parting ---- */

static sn_status plugin_load(const sn_comm_plugin **plugin, sn_error *error)
{
    static const sn_plugin_options mpi = {.file = "segnas3d-mpi.so",
                                          .symbol = SN_COMM_PLUGIN,
                                          .version = SN_COMM_PLUGIN_VERSION,
                                          .global = true}; /* parts that MPI loads look for its symbols */
    sn_error cause = SN_ERROR_INIT;
    sn_status status = sn_plugin_load(plugin, &mpi, &cause);
    if (status == SN_OK)
        return SN_OK;
    return sn_error_set(error, SN_ERR_UNSUPPORTED,
                        "%d processes were started together, but MPI cannot be loaded: %.600s; install "
                        "libopenmpi-dev and build again, or start one process",
                        sn_comm_started(), cause.text);
}

static sn_status job_join(sn_comm *self, sn_error *error)
{
    sn_status status;
    const sn_comm_plugin *plugin;
    int started = sn_comm_started();
    if (!starters[starter_find()].meets)
        return sn_error_set(error, SN_ERR_UNSUPPORTED,
                            "srun started %d processes that cannot find each other; write srun --mpi=pmix, "
                            "or use mpirun",
                            started);
    SN_TRY(plugin_load(&plugin, error));
    if (plugin->open(&self->rank, &self->size) != 0)
        return sn_error_set(error, SN_ERR_UNSUPPORTED, "MPI cannot be started");
    self->plugin = plugin;
    if (self->size != started)
        status =
            sn_error_set(error, SN_ERR_UNSUPPORTED,
                         "%d processes were started together, but MPI knows of %d; is it the mpirun of the "
                         "MPI that this program was built with?",
                         started, self->size);
done:
    return status;
}

sn_status sn_comm_open(sn_comm **comm, sn_error *error)
{
    sn_status status;
    sn_comm *self = NULL;
    *comm = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->size = 1;
    if (sn_comm_started() > 1)
        SN_TRY(job_join(self, error));
    *comm = self;
    self = NULL;
done:
    sn_comm_close(self);
    return status;
}

void sn_comm_close(sn_comm *comm)
{
    if (comm != NULL && comm->plugin != NULL)
        comm->plugin->close();
    sn_free(comm);
}

int sn_comm_rank(const sn_comm *comm)
{
    return comm->rank;
}

int sn_comm_size(const sn_comm *comm)
{
    return comm->size;
}

/* ---- messages ---- */

sn_status sn_comm_send(sn_comm *comm, int to, int kind, const void *bytes, size_t size, sn_error *error)
{
    if (comm->plugin == NULL || size > INT_MAX || comm->plugin->send(to, kind, bytes, size) != 0)
        return sn_error_set(error, SN_ERR_IO, "MPI cannot send %zu bytes to rank %d", size, to);
    return SN_OK;
}

bool sn_comm_is_sending(const sn_comm *comm)
{
    return comm->plugin != NULL && comm->plugin->is_sending();
}

sn_status sn_comm_receive(sn_message *message, sn_comm *comm, sn_error *error)
{
    sn_status status = SN_OK;
    *message = (sn_message){.from = -1};
    if (comm->plugin == NULL)
        return SN_OK;
    if (comm->plugin->probe(&message->from, &message->kind, &message->size) != 0)
        return sn_error_set(error, SN_ERR_IO, "MPI cannot look for messages");
    if (message->from < 0)
        return SN_OK;
    SN_TRY(sn_alloc(&message->bytes, message->size + 1, 1, error));
    if (comm->plugin->receive(message->from, message->kind, message->bytes, message->size) != 0)
        status = sn_error_set(error, SN_ERR_IO, "MPI cannot receive from rank %d", message->from);
done:
    return status;
}

void sn_message_clear(sn_message *message)
{
    sn_free(message->bytes);
    message->bytes = NULL;
}
